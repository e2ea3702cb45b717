"""Products whose factors tract knows ahead are what PyTorch makes of them, out of range too."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from harness import export_and_compare

EDGES = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-35, 1e35]

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "by zero": lambda x: x * 0,
    "by a tensor of zero": lambda x: torch.tensor(0.0) * x,
    "by zeros": lambda x: x * torch.zeros(3, 1),
    "by zeros of its size": lambda x: x * torch.zeros_like(x),
    "an addend times zero": lambda x: torch.add(x, x, alpha=0),
    "a product times zero": lambda x: torch.addcmul(x, x, x, value=0),
    "zero by": lambda x: 0 / x,
    "by large factors": lambda x: x * 1e30 * 1e30,
    "by small factors": lambda x: x * 1e-30 * 1e-30 * 1e30,
    "by large divisors": lambda x: x / 1e30 / 1e30,
    "by one beyond float32": lambda x: x * 1e-60 * 1e60 if x.dtype == torch.float64 else x,
    "square of a root": lambda x: x.sqrt().square(),
    "root times itself": lambda x: x.sqrt() ** 2,
    "square of a power": lambda x: (x**0.5) ** 2,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(name: str, dtype: torch.dtype) -> None:
    axes = {"x0": {0: "S"}}
    x = torch.tensor(EDGES, dtype=dtype)
    export_and_compare(FUNCTIONS[name], x, dynamic_axes=axes, sizes=[{"S": 1}], rtol=1e-6, atol=0)


def test_chains_in_half_precision() -> None:
    x = torch.tensor([0.0, 0.01, 1.0, 1e-3, math.inf]).half()
    export_and_compare(lambda x: (x * 300 * 300, (x * 0.01) * 0.01 * 100, x * 0), x, rtol=1e-3)
