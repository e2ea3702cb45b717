"""Tables, for a terminal and for a notebook."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True)
class Table:
    """A titled table of text.

    Attributes:
        title: what it shows.
        columns: their titles; one that starts with ``>`` is aligned right.
        rows: as many entries each as there are columns.
        notes: what is to be said below them.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __rich__(self) -> RichTable:
        table = RichTable(
            title=Text(self.title),
            title_justify="left",
            box=SIMPLE_HEAD,
            caption=Text("\n".join(self.notes)) if self.notes else None,
            caption_justify="left",
        )
        for column in self.columns:
            title = Text(column.lstrip(">"))
            table.add_column(
                title, overflow="fold", justify="right" if title.plain != column else "left"
            )
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def text(self) -> str:
        """The rows with an indent below the title, for a ``repr``."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            for row in self.rows
        ]
        return "\n".join([self.title, *(f"  {line.rstrip()}" for line in (*lines, *self.notes))])

    def html(self) -> str:
        """The table as an HTML element."""
        aligns = ["right" if column.startswith(">") else "left" for column in self.columns]

        def cells(tag: str, row: Iterable[str]) -> str:
            return "".join(
                f'<{tag} style="text-align: {align}">{html.escape(text)}</{tag}>'
                for align, text in zip(aligns, row, strict=True)
            )

        head = cells("th", (column.lstrip(">") for column in self.columns))
        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows)
        caption = f"<caption>{html.escape(self.title)}</caption>"
        notes = "".join(
            f'<tr><td colspan="{len(self.columns)}">{html.escape(note)}</td></tr>'
            for note in self.notes
        )
        foot = f"<tfoot>{notes}</tfoot>" if notes else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table>"


def plain(tables: Iterable[Table], *, width: int = 100) -> str:
    """The tables as text without colours, lines at most `width` characters long."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(Group(*tables))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")
