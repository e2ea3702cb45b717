"""What was measured, ours beside a peer's, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from benchmarks.measure import Samples

__all__ = ["Comparison", "Report"]

_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "MB": ((1.0, "MB"),),
}


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside a peer's.

    Attributes:
        what: was done.
        ours: what it took.
        peer: what the same took beside it.
        unit: of both, `s` or `MB`.
        target: the largest ratio to reach, of the minima and of the medians.
        excess_target: the largest difference to reach, in `unit`, where no ratio is asked for.
    """

    what: str
    ours: Samples
    peer: Samples
    unit: str = "s"
    target: float | None = None
    excess_target: float | None = None

    @property
    def ratios(self) -> tuple[float, float]:
        """Of the minima and of the medians."""
        return (
            self.ours.minimum / self.peer.minimum,
            self.ours.median / self.peer.median,
        )

    @property
    def excesses(self) -> tuple[float, float]:
        """Differences of the minima and of the medians, in `unit`."""
        return (
            self.ours.minimum - self.peer.minimum,
            self.ours.median - self.peer.median,
        )

    @property
    def reached(self) -> bool | None:
        """Whether minimum and median both keep to the target, where there is one."""
        if self.excess_target is not None:
            return max(self.excesses) <= self.excess_target
        return None if self.target is None else max(self.ratios) <= self.target

    def to_dict(self) -> dict[str, Any]:
        found = {
            "what": self.what,
            "unit": self.unit,
            "ours": _samples_dict(self.ours),
            "peer": _samples_dict(self.peer),
            "ratio": dict(zip(("minimum", "median"), self.ratios, strict=True)),
            "target": self.target,
        }
        if self.excess_target is not None:
            found["excess"] = dict(zip(("minimum", "median"), self.excesses, strict=True))
            found["excess_target"] = self.excess_target
        return {**found, "reached": self.reached}


@dataclass
class Report:
    """All comparisons of a run, and the machine and the versions they hold for."""

    conditions: Mapping[str, Any]
    comparisons: list[Comparison] = field(default_factory=list)

    def add(self, *comparisons: Comparison) -> None:
        self.comparisons.extend(comparisons)

    def write(self, path: Path) -> None:
        rows = [comparison.to_dict() for comparison in self.comparisons]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"conditions": self.conditions, "comparisons": rows}, indent=2))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title="ViT-B/16, minimum / median", title_justify="left")
        table.add_column("")
        for column in ("ours", "peer", "ratio", "target"):
            table.add_column(column, justify="right")
        table.add_column("")
        for comparison in self.comparisons:
            table.add_row(*_cells(comparison))
        yield table
        for name, value in self.conditions.items():
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if name == "versions" else value
            yield Text(f"{name}: {text}")


def _samples_dict(samples: Samples) -> dict[str, Any]:
    return {
        "name": samples.name,
        "minimum": samples.minimum,
        "median": samples.median,
        "samples": list(samples.values),
    }


def _cells(row: Comparison) -> tuple[str | Text, ...]:
    target = "" if row.target is None else f"<= {row.target:.2f}"
    if row.excess_target is not None:
        target = f"<= +{row.excess_target:.1f} {row.unit}"
    verdict = {
        None: Text(""),
        True: Text("reached", style="green"),
        False: Text("not reached", style="yellow"),
    }
    ratio = "{:.2f} / {:.2f}".format(*row.ratios)
    if row.excess_target is not None:
        ratio += "\n{:+.2f} / {:+.2f} {}".format(*row.excesses, row.unit)
    peer = f"{row.peer.name}\n{_amounts(row.peer, row.unit)}"
    return row.what, f"{row.ours.name}\n{_amounts(row.ours, row.unit)}", peer, ratio, target, verdict[row.reached]


def _amounts(samples: Samples, unit: str) -> str:
    """Minimum and median, in a multiple of the unit that suits the larger."""
    fitting = (s for s in _SCALES[unit] if samples.median >= s[0])
    scale, name = next(fitting, _SCALES[unit][-1])
    return f"{samples.minimum / scale:.3g} / {samples.median / scale:.3g} {name}"
