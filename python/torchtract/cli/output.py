"""What people and programs see: tables, JSON, progress, errors."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from torchtract.errors import TorchTractError
from torchtract.runtime.tables import Table

__all__ = ["brief_errors", "doing", "print_json", "show", "warn"]


def show(*parts: Table | str) -> None:
    """Prints text and tables: fitted to a terminal, else in full, one line for each row."""
    console = Console(highlight=False)
    for i, part in enumerate(parts):
        if isinstance(part, Table) and console.is_terminal:
            console.print(part)
            continue
        if isinstance(part, Table):
            part = _aligned(part) if i == 0 else f"\n{_aligned(part)}"
        console.print(Text(part), soft_wrap=not console.is_terminal)


def print_json(data: Any) -> None:
    """Prints plain data as JSON. Infinities and NaN, which JSON lacks, become null."""
    typer.echo(json.dumps(_finite(data), indent=2, allow_nan=False))


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Shows on the terminal what is being done, until it is done."""
    # No spinner: it would be a second thread beside what is measured.
    with Live(
        Text(f"{what} ..."), console=Console(stderr=True), auto_refresh=False, transient=True
    ):
        yield


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


def _aligned(table: Table) -> str:
    """The table as text, columns aligned by blanks, lines as long as it takes."""
    heads = tuple(column.lstrip(">") for column in table.columns)
    rows = [heads, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if column.startswith(">") else text.ljust(width)
            for text, width, column in zip(row, widths, table.columns, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([table.title, *lines])


def _finite(data: Any) -> Any:
    match data:
        case dict():
            return {key: _finite(value) for key, value in data.items()}
        case list() | tuple():
            return [_finite(value) for value in data]
        case float() if not math.isfinite(data):
            return None
        case complex():
            return str(data)
        case _:
            return data
