"""What a call itself costs: a model that does next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import torchtract as tt
from benchmarks.measure import race
from benchmarks.report import Comparison, Report
from benchmarks.runners import load_official


def test_call(report: Report, rounds: Callable[[int], int], tmp_path: Path) -> None:
    path = tmp_path / "relu.nnef.tgz"
    x = torch.randn(1, 8)
    tt.export_model_to_nnef(
        torch.nn.ReLU().eval(), x, path, tt.TractNNEF(check_io=False), ["input"], ["output"]
    )
    array = x.numpy()
    ours = tt.load(path).compile()
    official = load_official(path).into_runnable()
    np.testing.assert_array_equal(ours(array), official.run([array])[0].to_numpy())
    seconds = race(
        {
            "torchtract": lambda: ours(array),
            # Its output stays a tract tensor: to read it as an array takes a further call.
            "tract": lambda: official.run([array]),
        },
        rounds(15),
        calls=10_000,
    )
    report.add(
        Comparison("a call of one relu", seconds["torchtract"], seconds["tract"], target=0.2)
    )
