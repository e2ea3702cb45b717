"""What was measured, one figure beside another, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from benchmarks.measure import Samples

__all__ = ["Comparison", "Report"]

_SCALES = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")), "MB": ((1.0, "MB"),)}
_VERDICTS = {None: ("", ""), True: ("reached", "green"), False: ("not reached", "yellow")}


@dataclass(frozen=True)
class Comparison:
    """One figure beside another.

    Attributes:
        what: was done.
        measured: what it took.
        beside: what the same took in another way.
        unit: of both, `s` or `MB`.
        target: the largest ratio to reach.
        excess_target: the largest difference to reach, in `unit`, where no ratio is asked for.
    """

    what: str
    measured: Samples
    beside: Samples
    unit: str = "s"
    target: float | None = None
    excess_target: float | None = None

    @property
    def ratios(self) -> tuple[float, float]:
        """Of the minima and of the medians."""
        a, b = self.measured, self.beside
        return a.minimum / b.minimum, a.median / b.median

    @property
    def excesses(self) -> tuple[float, float]:
        """Differences of the minima and of the medians, in `unit`."""
        a, b = self.measured, self.beside
        return a.minimum - b.minimum, a.median - b.median

    @property
    def reached(self) -> bool | None:
        """Whether minimum and median both keep to the target, where there is one."""
        if self.excess_target is not None:
            return max(self.excesses) <= self.excess_target
        return None if self.target is None else max(self.ratios) <= self.target

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "what": self.what,
            "unit": self.unit,
            "measured": self.measured.to_dict(),
            "beside": self.beside.to_dict(),
            "ratio": _minimum_and_median(self.ratios),
            "target": self.target,
            "excess": _minimum_and_median(self.excesses),
            "excess_target": self.excess_target,
            "reached": self.reached,
        }

    def cells(self) -> tuple[str | Text, ...]:
        """The row of the table."""
        ratio = " / ".join(f"{r:.2f}" if r >= 0.01 else f"{r:.1g}" for r in self.ratios)
        target = "" if self.target is None else f"<= {self.target:.2f}"
        if self.excess_target is not None:
            minimum, median = self.excesses
            ratio += f"\n{minimum:+.2f} / {median:+.2f} {self.unit}"
            target = f"\n<= +{self.excess_target:.2f} {self.unit}"
        both = (f"{s.name}\n{_amounts(s, self.unit)}" for s in (self.measured, self.beside))
        return self.what, *both, ratio, target, Text(*_VERDICTS[self.reached])


@dataclass
class Report:
    """All comparisons of a run, and the machine and the versions they hold for."""

    conditions: Mapping[str, Any]
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *comparisons: Comparison) -> None:
        self.comparisons.extend(comparisons)

    def note(self, text: str) -> None:
        """Tell below the table what was left out of it."""
        self.notes.append(text)

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        rows = [comparison.to_dict() for comparison in self.comparisons]
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {"conditions": self.conditions, "comparisons": rows, "notes": self.notes}
        path.write_text(json.dumps(data, indent=2))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(
            title=f"{self.conditions['build']} build, minimum / median",
            title_justify="left",
            box=SIMPLE_HEAD,
        )
        table.add_column("")
        for column in ("measured", "beside", "ratio", "target"):
            table.add_column(column, justify="right")
        table.add_column("")
        for comparison in self.comparisons:
            table.add_row(*comparison.cells())
        yield table
        yield from map(Text, self.notes)
        for name, value in self.conditions.items():
            if isinstance(value, Mapping):
                value = ", ".join(f"{package} {version}" for package, version in value.items())
            yield Text(f"{name}: {value}")


def _minimum_and_median(pair: tuple[float, float]) -> dict[str, float]:
    return {"minimum": pair[0], "median": pair[1]}


def _amounts(samples: Samples, unit: str) -> str:
    """Minimum and median, in the largest multiple of the unit that they reach."""
    reached = (scale for scale in _SCALES[unit] if samples.minimum >= scale[0])
    factor, name = next(reached, _SCALES[unit][-1])
    return f"{samples.minimum / factor:.4g} / {samples.median / factor:.4g} {name}"
