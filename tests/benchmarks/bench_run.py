"""Runs: beside the peers on one thread, and on two threads beside one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.conftest import Archives
from benchmarks.measure import race, Timings
from benchmarks.report import Comparison, Report
from benchmarks.runners import Runner, official_tract, onnx_runtime, pytorch, torchtract
from benchmarks.vit import images


def test_one_thread(
    report: Report, rounds: Callable[[int], int], vit: torch.nn.Module, archives: Archives
) -> None:
    seconds = _race(
        {
            "torchtract": torchtract(archives.ours),
            "tract": official_tract(archives.ours),
            "tract, torch-to-nnef's file": official_tract(archives.torch_to_nnef),
            "onnxruntime": onnx_runtime(archives.onnx, threads=1),
            "torch": pytorch(vit, threads=1),
        },
        batch=1,
        rounds=rounds(15),
    )
    targets = {"tract": 1.0, "tract, torch-to-nnef's file": 0.9}
    for peer in ("tract", "tract, torch-to-nnef's file", "onnxruntime", "torch"):
        report.add(
            Comparison(
                "run, B=1, 1 thread", seconds["torchtract"], seconds[peer], target=targets.get(peer)
            )
        )


@pytest.mark.parametrize("batch", [1, 3])
def test_two_threads(
    report: Report,
    rounds: Callable[[int], int],
    vit: torch.nn.Module,
    archives: Archives,
    batch: int,
) -> None:
    kinds: dict[str, Callable[[int], Runner]] = {
        "torchtract": partial(torchtract, archives.ours),
        "onnxruntime": partial(onnx_runtime, archives.onnx),
        "torch": partial(pytorch, vit),
    }
    contenders = {(f"{k}, {n}": kind(n)) for k, kind in kinds.items() for n in (1, 2)}
