"""What people and programs see: tables, JSON, progress, errors."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from torchtract.check.report import finite
from torchtract.errors import TorchTractError
from torchtract.runtime.tables import Table

__all__ = ["brief_errors", "doing", "print_json", "progress", "show", "show_piece", "warn"]

_SECONDS_BETWEEN_DRAWINGS = 0.1
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
"""All control characters but tab and newline."""
_LONGEST_CELL = 150
"""On a terminal. Only properties are longer: `torchtract.modules` has thousands of characters."""


def show(*parts: Table | str) -> None:
    """Prints text and tables. Each row is one line, two where a terminal is too narrow for it."""
    console = Console(highlight=False)
    for number, part in enumerate(parts):
        if number > 0:
            console.print()
        if isinstance(part, Table):
            console.print(_layout(part, console), soft_wrap=True)
        else:
            console.print(Text(part), soft_wrap=not console.is_terminal)


def show_piece(text: str) -> None:
    """Prints a piece of a text that others wrote. It can't control a terminal."""
    sys.stdout.write(text.translate(_CONTROLS) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def print_json(data: Any) -> None:
    """Prints plain data as JSON. Infinities and NaN, which JSON lacks, become null."""
    typer.echo(json.dumps(finite(data), indent=2, allow_nan=False))


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Shows on the terminal what is being done, until it is done."""
    console = Console(stderr=True)
    # No spinner: it would be a second thread beside what is measured.
    with Live(Text(f"{what} ..."), console=console, auto_refresh=False, transient=True):
        yield


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Shows on the terminal how far something has come, until it is done.

    Yields:
        A function that takes how much of `total` is done, and a few words about it.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    # As above, no second thread: what is done draws the line, though not each time.
    with Progress(
        *columns,
        console=console,
        auto_refresh=False,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total, note="")
        drawn = 0.0

        def advance(done: int, note: str) -> None:
            nonlocal drawn
            if perf_counter() - drawn > _SECONDS_BETWEEN_DRAWINGS:
                bar.update(task, completed=done, note=note, refresh=True)
                drawn = perf_counter()

        yield advance


@contextlib.contextmanager
def brief_errors(debug: bool) -> Iterator[None]:
    """Turns what went wrong into one paragraph on stderr and exit code 1.

    Args:
        debug: let the exception through instead, with its traceback.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our output has seen enough
    except (TorchTractError, OSError, MemoryError) as error:
        if debug:
            raise
        _print_stderr("error: ", "bold red", _message(error))
        raise typer.Exit(1) from None


def warn(message: str) -> None:
    """Prints a warning on stderr."""
    _print_stderr("warning: ", "bold yellow", message)


def _print_stderr(label: str, style: str, message: str) -> None:
    console = Console(stderr=True, highlight=False)
    text = Text.assemble((label, style), message, overflow="ignore")
    console.print(text, soft_wrap=not console.is_terminal)


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _layout(table: Table, console: Console) -> Text:
    heads = tuple(column.lstrip(">") for column in table.columns)
    rows = [heads, *table.rows]
    if console.is_terminal:
        rows = [tuple(map(_shortened, row)) for row in rows]
    lines = _aligned(rows, table.columns)
    if console.is_terminal and max(map(len, lines)) > console.width:
        lines = _stacked(rows, table.columns)
    head, *body = lines
    return Text("\n").join([Text(table.title, "bold"), Text(head, "dim"), *map(Text, body)])


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_CELL:
        return text
    return f"{text[:_LONGEST_CELL]} ... ({len(text)} characters)"


def _aligned(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """A line for each row, cells aligned by blanks."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if column.startswith(">") else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in rows
    ]


def _stacked(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """As `_aligned`, but with a second line for what follows the first column of text."""
    split = 1 + next(i for i, column in enumerate(columns) if not column.startswith(">"))
    first = _aligned([row[:split] for row in rows], columns[:split])
    second = _aligned([row[split:] for row in rows], columns[split:])
    return [f"{a}\n    {b}" for a, b in zip(first, second, strict=True)]
