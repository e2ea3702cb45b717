"""`docs/operators.md`, written from what runs over PyTorch's samples have counted.

`python -m opinfo.page RECORD PEER PAGE`, the second being the record of torch-to-nnef.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from opinfo.record import Record, Summary
from opinfo.samples import DTYPES

__all__ = ["write"]

_INTRODUCTION = """\
# Operators

<!-- Written by `make opinfo`. Change tests/opinfo/page.py, not this page. -->

PyTorch's own database of operators ({version}, `torch.testing._internal`) has samples of calls of
each. Those counted here were exported, loaded, run and compared with PyTorch: tensors as inputs,
all else fixed. An operator is *right* in a type if all its samples are; samples that are not are
refused with the line of the call and a reason, and none is wrong.

{totals}

`make opinfo` tries all samples in all types, and takes hours; `make opinfo DTYPES=int64 SAMPLES=20`
tries some. Where fewer are counted, they are the first of each operator: "at most" is how many were
tried of one. Of torch-to-nnef, any exception counts as failed. The medians of the exports' times
are of the first two samples of each operator, as far as they were exported. Those of the two
exporters in float32 were measured side by side, the others on a machine that did more.

In the table below, ✓ says that all samples are right, 5/7 that five of seven are and the rest is
refused, – that all are refused; nothing that PyTorch has no samples of this type. The reason is
that of the first type that is refused. There is no column for bfloat16, which tract lacks: such
tensors are refused in all operators.
"""


def write(record: Record, peer: Record, page: Path) -> None:
    """Write the page."""
    totals = "\n".join(_totals(record, peer))
    text = _INTRODUCTION.format(version=f"torch {torch.__version__.split('+')[0]}", totals=totals)
    page.write_text(text + "\n" + "\n".join(_rows(record)) + "\n")


def _totals(record: Record, peer: Record) -> Iterator[str]:
    yield (
        "| exporter | type | samples | at most | operators | right | in part | refused | wrong "
        "| failed | ms/export |"
    )
    yield f"|{'---|' * 11}"
    for exporter, counted in (("torchtract", record), ("torch-to-nnef 0.24.12", peer)):
        for dtype in DTYPES:
            of_dtype = [row[dtype] for row in counted.summaries.values() if dtype in row]
            if of_dtype:
                yield f"| {exporter} | {dtype} | {_total(of_dtype)} |"


def _total(summaries: Sequence[Summary]) -> str:
    classes = [_class(summary) for summary in summaries]
    counts = [classes.count(c) for c in ("right", "in part", "refused", "wrong", "failed")]
    seconds = [s for summary in summaries for s in summary.get("seconds", [])]
    median = f"{statistics.median(seconds) * 1000:.0f}" if seconds else ""
    samples = [sum(summary["counts"].values()) for summary in summaries]
    return " | ".join(map(str, [sum(samples), max(samples), len(classes), *counts, median]))


def _class(summary: Summary) -> str:
    counts = summary["counts"]
    for worst in ("wrong", "failed"):
        if counts.get(worst):
            return worst
    if not counts.get("refused"):
        return "right"
    return "in part" if counts.get("right") else "refused"


def _rows(record: Record) -> Iterator[str]:
    told = [d for d in DTYPES if d != "bfloat16"]
    dtypes = [d for d in told if any(d in row for row in record.summaries.values())]
    yield f"| operator | {' | '.join(dtypes)} | reason |"
    yield f"|---|{'---|' * len(dtypes)}---|"
    for operator, row in record.summaries.items():
        cells = (_cell(row[d]) if d in row else "" for d in dtypes)
        reason = _reason(row[d] for d in dtypes if d in row)
        yield f"| `{operator}` | {' | '.join(cells)} | {reason} |"


def _cell(summary: Summary) -> str:
    counts = summary["counts"]
    if (found := _class(summary)) != "in part":
        return {"right": "✓", "refused": "–"}.get(found, found)
    return f"{counts['right']}/{sum(counts.values())}"


def _reason(summaries: Iterable[Summary]) -> str:
    return next((s["reason"] for s in summaries if s["reason"]), "").replace("|", "\\|")


if __name__ == "__main__":
    own, peers, target = map(Path, sys.argv[1:])
    write(Record.read(own), Record.read(peers), target)
