"""Counts of right, refused and wrong samples, by operator and element type, in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from opinfo.verdict import Verdict

__all__ = ["Record", "summary"]

#: How many samples became what, one reason for each, and the exports' seconds.
Summary: TypeAlias = dict[str, Any]


def summary(verdicts: Iterable[Verdict]) -> Summary:
    """Counts by kind, the first reason of each, and seconds of the exports."""
    counts: dict[str, int] = {}
    reasons: dict[str, str] = {}
    seconds: list[float] = []
    for verdict in verdicts:
        counts[verdict.kind.value] = counts.get(verdict.kind.value, 0) + 1
        if verdict.reason:
            reasons.setdefault(verdict.kind.value, verdict.reason[:2000])
        if verdict.seconds:
            seconds.append(round(verdict.seconds, 4))
    return {"counts": counts, "reasons": reasons, "seconds": seconds}


@dataclass
class Record:
    """Summaries by operator and element type."""

    summaries: dict[str, dict[str, Summary]] = field(default_factory=dict)

    def add(self, operator: str, dtype: str, counted: Summary) -> None:
        """Take the summary of one operator and element type."""
        self.summaries.setdefault(operator, {})[dtype] = counted

    def write(self, path: Path) -> None:
        """Write all of it, operators in order."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(sorted(self.summaries.items())), indent=1))

    @classmethod
    def read(cls, path: Path) -> Record:
        """What an earlier run wrote."""
        return cls(json.loads(path.read_text()))
