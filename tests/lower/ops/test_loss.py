"""Losses are rounded where PyTorch rounds them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from harness import export_and_compare
from lower.ops.inputs import uniform


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_soft_margin_loss(reduction: str, dtype: torch.dtype) -> None:
    x, target = uniform(5, 3, low=-9, high=9).to(dtype), uniform(5, 3, seed=1).sign().to(dtype)
    x[0, 0] = 12 * -target[0, 0]  # its exponential is infinite in half precision
    axes = {"x0": {0: "B"}, "x1": {0: "B"}}
    export_and_compare(
        lambda x, y: F.soft_margin_loss(x, y, reduction=reduction),
        *(x, target),
        dynamic_axes=axes,
        sizes=[{"B": 1}],
        rtol=1e-3,
    )
