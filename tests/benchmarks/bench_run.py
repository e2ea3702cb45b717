"""Runs: beside the peers on one thread, and on two threads beside one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from benchmarks.archives import Archives
from benchmarks.measure import Samples, alternate
from benchmarks.models import images
from benchmarks.report import Comparison, Report
from benchmarks.runners import Engine, RunningModel

# Where a process's weights lie in memory moves its time by some percent: fresh ones, and again.
_PROCESSES = 3


def test_one_thread(
    report: Report, rounds: Callable[[int], int], archives: Archives, scratch: Path
) -> None:
    targets = {"tract": 1.0, "tract, torch-to-nnef": 0.9, "onnxruntime": None, "torch": None}
    engines = {
        "torchtract": Engine("torchtract", archives.torchtract),
        "tract": Engine("tract", archives.torchtract),
        "tract, torch-to-nnef": Engine("tract", archives.torch_to_nnef),
        "onnxruntime": Engine("onnxruntime", archives.onnx),
        "torch": Engine("torch", scratch),
    }
    seconds = _race_of_runs(engines, 1, rounds(7), scratch)
    for peer, target in targets.items():
        ours = seconds["torchtract"]
        report.add(Comparison("run, B=1, one thread", ours, seconds[peer], target=target))


def test_one_thread_with_the_symbol_set(
    report: Report, rounds: Callable[[int], int], archives: Archives, scratch: Path
) -> None:
    engines = {
        "torchtract": Engine("torchtract", archives.torchtract, batch=1),
        "tract": Engine("tract", archives.torchtract, batch=1),
        "tract, torch-to-nnef": Engine("tract", archives.torch_to_nnef, batch=1),
    }
    seconds = _race_of_runs(engines, 1, rounds(7), scratch)
    ours = seconds.pop("torchtract")
    for peer, target in (("tract", 1.0), ("tract, torch-to-nnef", 0.9)):
        report.add(Comparison("run, B set to 1, one thread", ours, seconds[peer], target=target))


@pytest.mark.parametrize("batch", [1, 3])
def test_two_threads(
    report: Report, rounds: Callable[[int], int], archives: Archives, scratch: Path, batch: int
) -> None:
    targets = {"torchtract": 0.65, "onnxruntime": None, "torch": None}
    paths = {"torchtract": archives.torchtract, "onnxruntime": archives.onnx, "torch": scratch}
    engines = {_named(e, n): Engine(e, path, n) for e, path in paths.items() for n in (1, 2)}
    seconds = _race_of_runs(engines, batch, rounds(5), scratch)
    for engine, target in targets.items():
        two, one = seconds[_named(engine, 2)], seconds[_named(engine, 1)]
        report.add(Comparison(f"run, B={batch}, two threads", two, one, target=target))


def _race_of_runs(
    engines: Mapping[str, Engine], batch: int, rounds: int, scratch: Path
) -> dict[str, Samples]:
    """Seconds of a run of each, once it is known that they all compute the same."""
    x = images(batch).numpy()
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(_PROCESSES):
        with ExitStack() as stack:
            models = {
                name: stack.enter_context(RunningModel(engine, x, scratch))
                for name, engine in engines.items()
            }
            expected, *others = (model.output for model in models.values())
            for output in others:
                np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)
            turns = {name: model.run for name, model in models.items()}
            for name, values in alternate(turns, rounds).items():
                seconds[name] += values
    return {name: Samples(name, values) for name, values in seconds.items()}


def _named(engine: str, threads: int) -> str:
    return f"{engine}, {threads} thread{'s' * (threads > 1)}"
