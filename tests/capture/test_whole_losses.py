"""Losses whose code asks for values or makes parts of a batch are captured whole."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

from harness import export_and_compare
from lower.ops.inputs import integers, uniform


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gaussian_nll_loss(reduction: str) -> None:
    x, y, variance = uniform(5, 3), uniform(5, 3, seed=1), uniform(5, 3, low=0, high=2, seed=2)
    axes = {name: {0: "B"} for name in ("x0", "x1", "x2")}
    export_and_compare(
        lambda x, y, v: F.gaussian_nll_loss(x, y, v, full=True, reduction=reduction),
        *(x, y, variance),
        dynamic_axes=axes,
        sizes=[{"B": 1}, {"B": 7}],
    )
    module = torch.nn.GaussianNLLLoss(reduction=reduction)
    export_and_compare(module, x, y, variance[:, :1], input_names=["x0", "x1", "x2"])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_linear_cross_entropy_in_chunks(reduction: str) -> None:
    options = LinearCrossEntropyOptions(batch_chunk_size=2)
    x, weight, target = uniform(5, 4), uniform(6, 4, seed=1), integers(5, low=0, high=5)
    export_and_compare(
        lambda x, w, t: F.linear_cross_entropy(x, w, t, reduction=reduction, options=options),
        *(x, weight, target),
        dynamic_axes={"x0": {0: "B"}, "x2": {0: "B"}},
        sizes=[{"B": 1}],
    )
