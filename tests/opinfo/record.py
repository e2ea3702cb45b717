"""Counts of right, refused and wrong samples, by operator and element type, in a JSON file.

What runs of other element types have counted stays in it: all of them take hours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from opinfo.verdict import Verdict

__all__ = ["Record", "Summary", "summary"]

#: How many samples became what, why the first that isn't right is not, and the seconds of exports.
Summary: TypeAlias = dict[str, Any]

# Of so many samples by default, and of the peer: medians of others are of other samples.
_TIMED = 2


def summary(verdicts: Iterable[Verdict]) -> Summary:
    """Counts by kind, the first reason, and seconds of the first exports."""
    counts: dict[str, int] = {}
    reasons: list[str] = []
    seconds: list[float] = []
    for number, verdict in enumerate(verdicts):
        counts[verdict.kind.value] = counts.get(verdict.kind.value, 0) + 1
        if verdict.reason:
            reasons.append(verdict.reason)
        if verdict.seconds and number < _TIMED:
            seconds.append(round(verdict.seconds, 4))
    return {"counts": counts, "reason": _short(reasons[0]) if reasons else "", "seconds": seconds}


def _short(message: str) -> str:
    """What follows the line of the call, without the advice."""
    part = re.search(r"(?:, since |is refused, )(.*)", message.split("\nRewrite")[0], re.DOTALL)
    text = " ".join((part[1] if part else message).split())
    return text.split("is refused, since ")[-1].removeprefix("since ")[:200]


@dataclass
class Record:
    """Summaries by operator and element type."""

    summaries: dict[str, dict[str, Summary]] = field(default_factory=dict)

    def add(self, operator: str, dtype: str, counted: Summary) -> None:
        """Take the summary of one operator and element type."""
        self.summaries.setdefault(operator, {})[dtype] = counted

    def write(self, path: Path) -> None:
        """Write all of it, a line for each operator, in order."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (f"{json.dumps(o)}: {json.dumps(row)}" for o, row in sorted(self.summaries.items()))
        path.write_text("{\n" + ",\n".join(rows) + "\n}\n")

    @classmethod
    def read(cls, path: Path) -> Record:
        """What earlier runs wrote."""
        return cls(json.loads(path.read_text()))
