"""Exports without a check: time, memory, and the files' sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.archives import Archives
from benchmarks.exporters import OURS, OURS_FOR_0_21, TORCH_TO_NNEF, export
from benchmarks.measure import Samples, alternate
from benchmarks.report import Comparison, Report

_LAYERS = (2, 6, 12, 24)


def test_export(
    report: Report, rounds: Callable[[int], int], archives: Archives, scratch: Path
) -> None:
    path = scratch / "measured.nnef.tgz"
    names = (OURS, OURS_FOR_0_21, TORCH_TO_NNEF)
    costs = alternate({name: partial(export, name, path) for name in names}, rounds(5))
    seconds = {name: Samples(name, [c.seconds for c in costs[name]]) for name in names}
    peak = {name: Samples(name, [c.peak_mb for c in costs[name]]) for name in names}
    added = {name: Samples(name, [c.added_mb for c in costs[name]]) for name in names}
    for ours in (OURS, OURS_FOR_0_21):
        report.add(
            Comparison("export", seconds[ours], seconds[TORCH_TO_NNEF], target=0.5),
            Comparison("peak memory", peak[ours], peak[TORCH_TO_NNEF], unit="MB", target=0.7),
            Comparison("of it by the export", added[ours], added[TORCH_TO_NNEF], unit="MB"),
        )
    report.add(
        Comparison(
            "file size",
            _size(OURS, archives.torchtract),
            _size(TORCH_TO_NNEF, archives.torch_to_nnef),
            "MB",
        )
    )


def test_growth_with_layers(report: Report, rounds: Callable[[int], int], scratch: Path) -> None:
    path = scratch / "measured.nnef.tgz"
    cases = [(OURS, layers) for layers in _LAYERS]
    cases += [(TORCH_TO_NNEF, layers) for layers in _LAYERS[:-1]]  # the last would take minutes
    costs = alternate({c: partial(export, c[0], path, f"encoder-{c[1]}") for c in cases}, rounds(3))
    seconds = {
        (name, layers): Samples(f"{name}, {layers} layers", [c.seconds for c in found])
        for (name, layers), found in costs.items()
    }
    what = "export of an encoder"
    for layers in _LAYERS[:-1]:
        report.add(Comparison(what, seconds[OURS, layers], seconds[TORCH_TO_NNEF, layers]))
    for fewer, more in pairwise(_LAYERS):
        growth = seconds[OURS, more], seconds[OURS, fewer]
        report.add(Comparison(what, *growth, target=more / fewer))


def _size(name: str, path: Path) -> Samples:
    return Samples(name, [path.stat().st_size / 1e6])
