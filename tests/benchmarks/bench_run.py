"""Runs: beside the peers on one thread, and on two threads beside one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.archives import Archives
from benchmarks.measure import Samples, race
from benchmarks.report import Comparison, Report
from benchmarks.runners import Runner, official_tract, onnx_runtime, pytorch, torchtract
from benchmarks.vit import images


def test_one_thread(
    report: Report, rounds: Callable[[int], int], vit: torch.nn.Module, archives: Archives
) -> None:
    targets = {"tract": 1.0, "tract, torch-to-nnef": 0.9, "onnxruntime": None, "torch": None}
    contenders = {
        "torchtract": torchtract(archives.torchtract),
        "tract": official_tract(archives.torchtract),
        "tract, torch-to-nnef": official_tract(archives.torch_to_nnef),
        "onnxruntime": onnx_runtime(archives.onnx, threads=1),
        "torch": pytorch(vit, threads=1),
    }
    seconds = _race_of_runs(contenders, batch=1, rounds=rounds(15))
    for peer, target in targets.items():
        ours = seconds["torchtract"]
        report.add(Comparison("run, B=1, one thread", ours, seconds[peer], target=target))


@pytest.mark.parametrize("batch", [1, 3])
def test_two_threads(
    report: Report,
    rounds: Callable[[int], int],
    vit: torch.nn.Module,
    archives: Archives,
    batch: int,
) -> None:
    targets = {"torchtract": 0.65, "onnxruntime": None, "torch": None}
    engines: dict[str, Callable[[int], Runner]] = {
        "torchtract": partial(torchtract, archives.torchtract),
        "onnxruntime": partial(onnx_runtime, archives.onnx),
        "torch": partial(pytorch, vit),
    }
    contenders = {_named(e, n): make(n) for e, make in engines.items() for n in (1, 2)}
    seconds = _race_of_runs(contenders, batch, rounds(9))
    for engine, target in targets.items():
        two, one = seconds[_named(engine, 2)], seconds[_named(engine, 1)]
        report.add(Comparison(f"run, B={batch}, two threads", two, one, target=target))


def _race_of_runs(contenders: Mapping[str, Runner], batch: int, rounds: int) -> dict[str, Samples]:
    """Seconds of a run of each, once it is known that they all compute the same."""
    x = images(batch).numpy()
    expected, *others = (run(x) for run in contenders.values())
    for output in others:
        np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)
    return race({name: partial(run, x) for name, run in contenders.items()}, rounds)


def _named(engine: str, threads: int) -> str:
    return f"{engine}, {threads} thread{'s' * (threads > 1)}"
