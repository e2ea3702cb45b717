"""From a file to a runnable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torchtract as tt
from benchmarks.archives import Archives
from benchmarks.measure import Samples, alternate
from benchmarks.report import Comparison, Report
from benchmarks.runners import load_official


def test_load_and_compile(report: Report, rounds: Callable[[int], int], archives: Archives) -> None:
    stages = alternate(
        {
            "torchtract": partial(_stages, archives.torchtract, tt.load, tt.Model.compile),
            "tract": partial(_stages, archives.torchtract, load_official, _into_runnable),
        },
        rounds(5),
    )
    for stage, what in enumerate(("load", "compile")):
        ours, theirs = (
            Samples(name, [seconds[stage] for seconds in found]) for name, found in stages.items()
        )
        report.add(Comparison(what, ours, theirs))


def _into_runnable(model: Any) -> Any:
    return model.into_runnable()


def _stages(
    path: Path, load: Callable[[Path], Any], compile_: Callable[[Any], object]
) -> tuple[float, float]:
    """Seconds of loading and of compiling."""
    started = perf_counter()
    model = load(path)
    loaded = perf_counter()
    runnable = compile_(model)  # bound, so that freeing it falls outside of what is measured
    compiled = perf_counter()
    del runnable
    return loaded - started, compiled - loaded
