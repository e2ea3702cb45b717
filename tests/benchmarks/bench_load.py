"""From a file to a runnable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import torchtract as tt

from benchmarks.conftest import Archives
from benchmarks.measure import Samples, alternate
from benchmarks.report import Comparison, Report
from benchmarks.runners import load_official


def test_load_and_compile(
    report: Report, rounds: Callable[[int], int], archives: Archives
) -> None:
    stages = alternate(
        {
            "torchtract": partial(_stages, archives.ours, tt.load, tt.Model.compile),
            "tract": partial(_stages, archives.ours, load_official, lambda m: m.into_runnable()),
        },
        rounds(5),
    )
    for stage, what in enumerate(("load", "compile")):
        ours, theirs = (
            Samples(name, [seconds[stage] for seconds in found]) for name, found in stages.items()
        )
        report.add(Comparison(what, ours, theirs))


def _stages(
    path: Path, load: Callable[[Path], tt.Model], compile_: Callable[[tt.Model], object]
) -> tuple[float, float]:
    """Seconds of loading and of compiling."""
    started = perf_counter()
    model = load(path)
    loaded = perf_counter()
    runnable = compile_(model)
    compiled = perf_counter()
    del runnable, model  # outside of what is measured
    return loaded - started, compiled - loaded
