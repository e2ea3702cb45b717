"""Reductions onto a tensor are PyTorch's: of equal positions, of NaN, with and without itself."""

from __future__ import annotations

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

REDUCTIONS = ["sum", "prod", "mean", "amax", "amin"]
OF_ROWS = REDUCTIONS[1:]
AXES = {"x0": {0: "S"}, "x1": {0: "T"}}
SIZES = [{"S": 5, "T": 1}, {"S": 9, "T": 6}]


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_scatter_reduce(reduce: str, include_self: bool, dtype: torch.dtype) -> None:
    def reduced(x: torch.Tensor, i: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.scatter_reduce(0, i, y, reduce, include_self=include_self)

    x, y = (integers(6, 4, low=-5, high=5, dtype=dtype, seed=n) for n in range(2))
    i = integers(3, 4, low=0, high=4)
    export_and_compare(reduced, x, i, y, dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("reduce", OF_ROWS)
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8])
def test_index_reduce(reduce: str, include_self: bool, dtype: torch.dtype) -> None:
    def reduced(x: torch.Tensor, i: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.index_reduce(0, i, y, reduce, include_self=include_self)

    x = integers(6, 4, low=0, high=3, dtype=dtype)
    y, i = integers(3, 4, low=0, high=3, dtype=dtype, seed=1), integers(3, low=0, high=4)
    axes = {"x0": {0: "S"}, "x1": {0: "T"}, "x2": {0: "T"}}
    export_and_compare(reduced, x, i, y, dynamic_axes=axes, sizes=SIZES)


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("reduce", OF_ROWS)
@pytest.mark.parametrize("include_self", [True, False])
def test_nan(reduce: str, include_self: bool) -> None:
    def reduced(x: torch.Tensor, y: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = x.index_reduce(0, i[:, 0], y, reduce, include_self=include_self)
        return x.scatter_reduce(0, i, y, reduce, include_self=include_self), rows

    x, y = uniform(4, 3), uniform(4, 3, seed=1)
    x[0, 0] = x[3, 1] = y[1, 2] = y[2, 0] = torch.nan
    y[0, 0], y[3, 1] = torch.inf, -torch.inf
    export_and_compare(reduced, x, y, torch.tensor([[0, 0, 2], [1, 1, 1], [1, 2, 1], [0, 0, 0]]))


@pytest.mark.parametrize("reduce", ["sum", "prod", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_truth_values(reduce: str, include_self: bool) -> None:
    def reduced(x: torch.Tensor, i: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.scatter_reduce(0, i, y, reduce, include_self=include_self)

    x, y = (integers(5, 6, low=0, high=1, dtype=torch.bool, seed=n) for n in range(2))
    export_and_compare(reduced, x, integers(4, 6, low=0, high=3), y)


def test_a_scalar() -> None:
    def reduced(x: torch.Tensor, i: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.scatter_reduce(0, i, y, "mean")

    export_and_compare(reduced, torch.tensor(2.0), torch.tensor(0), torch.tensor(5.0))
