"""What a check found, as data and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from torchtract.check.compare import Comparison

__all__ = ["Divergence", "IoReport", "OutputRow", "finite"]


@dataclass(frozen=True)
class Divergence:
    """The first operation of a model whose numbers differ; printed, a sentence about it.

    Attributes:
        text: what was found, also where that is no single operation.
        operation: its aten overload, `aten.gelu.default`, or None.
        module: path of the PyTorch module it is in, "" for the model itself; or None.
        source: the user's `file:line`, or None.
        node: identifier of its tensor in the exported graph, or None.
    """

    text: str
    operation: str | None = None
    module: str | None = None
    source: str | None = None
    node: str | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class OutputRow:
    """One output at one size of each symbol."""

    output: str
    sizes: Mapping[str, int]
    shape: tuple[int, ...]
    dtype: str
    comparison: Comparison


@dataclass(frozen=True)
class IoReport:
    """Every comparison of a check, up to the first that failed.

    Attributes:
        rows: one for each output at each size.
        refused: sizes that were left out, since PyTorch itself refuses them, with its reason.
        tolerance: the level that was applied.
        divergence: where the numbers begin to differ, if they do and it was looked for.
    """

    rows: tuple[OutputRow, ...]
    refused: tuple[str, ...]
    tolerance: str
    divergence: Divergence | None = None

    @property
    def max_abs(self) -> float:
        """Largest absolute difference in any output."""
        return max((row.comparison.max_abs for row in self.rows), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title=f"tract against PyTorch ({self.tolerance})", title_justify="left")
        for column in ("output", "sizes", "shape", "dtype"):
            table.add_column(column)
        for column in ("max abs", "max rel"):
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(
                row.output,
                " ".join(f"{k}={v}" for k, v in row.sizes.items()) or "-",
                "×".join(map(str, row.shape)) or "scalar",
                row.dtype,
                f"{row.comparison.max_abs:.2e}",
                f"{row.comparison.max_rel:.2e}",
            )
        yield table
        for line in self.refused:
            yield f"left out, since PyTorch refuses it: {line}"
        if self.divergence is not None:
            yield str(self.divergence)

    def __str__(self) -> str:
        return printed(self)


def printed(report: Any) -> str:
    """What rich prints, as text without colours."""
    console = Console(file=StringIO(), width=100)
    console.print(report)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def finite(data: Any) -> Any:
    """Plain data as JSON can hold it: infinities and NaN become null, complex numbers text."""
    match data:
        case dict():
            return {key: finite(value) for key, value in data.items()}
        case list() | tuple():
            return [finite(value) for value in data]
        case float() if not math.isfinite(data):
            return None
        case complex():
            return str(data)
        case _:
            return data
