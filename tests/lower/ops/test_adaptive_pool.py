"""Adaptive poolings have PyTorch's bins."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform

AVG_POOLS: dict[int, type[nn.Module]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
    3: nn.AdaptiveAvgPool3d,
}
MAX_POOLS: dict[int, type[nn.Module]] = {
    1: nn.AdaptiveMaxPool1d,
    2: nn.AdaptiveMaxPool2d,
    3: nn.AdaptiveMaxPool3d,
}
SPATIAL = {1: (12,), 2: (12, 10), 3: (6, 7, 4)}

#: One bin, bins that divide 12 evenly, bins that overlap, as many as elements, more of them.
COUNTS = [1, 3, 5, 12, 13]


@pytest.mark.parametrize("spatial", AVG_POOLS)
@pytest.mark.parametrize("count", COUNTS)
def test_adaptive_avg_pool(spatial: int, count: int) -> None:
    x = uniform(3, 4, *SPATIAL[spatial])
    module = AVG_POOLS[spatial](count)
    export_and_compare(module, x, dynamic_axes={"input": {0: "B"}}, sizes=[{"B": 1}, {"B": 4}])


@pytest.mark.parametrize("spatial", MAX_POOLS)
@pytest.mark.parametrize("count", COUNTS)
def test_adaptive_max_pool(spatial: int, count: int) -> None:
    # Few different numbers, so that many bins hold their maximum more than once.
    x = integers(3, 4, *SPATIAL[spatial], low=-5, high=-1).float()
    module = MAX_POOLS[spatial](count, return_indices=True)
    export_and_compare(module, x, dynamic_axes={"input": {0: "B"}}, sizes=[{"B": 1}, {"B": 4}])


@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_one_bin_over_symbolic_sizes(kind: type[nn.Module]) -> None:
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 1, "T": 1}, {"B": 2, "S": 20, "T": 3}]
    export_and_compare(kind(1), uniform(3, 4, 9, 11), dynamic_axes=axes, sizes=sizes)


def test_indices_of_one_bin_over_symbolic_sizes() -> None:
    module = nn.AdaptiveMaxPool2d(1, return_indices=True)
    axes = {"input": {2: "S", 3: "T"}}
    sizes = [{"S": 1, "T": 5}, {"S": 20, "T": 3}]
    export_and_compare(module, uniform(3, 4, 9, 11), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool1d, F.adaptive_max_pool1d_with_indices])
def test_bins_that_divide_a_symbolic_size(pool: object) -> None:
    def twice(x: torch.Tensor) -> torch.Tensor:
        return pool(torch.cat([x, x + 1, x], dim=2), 3)  # type: ignore[operator, no-any-return]

    axes = {"x0": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 2, "S": 14}]
    export_and_compare(twice, uniform(3, 4, 5), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_bins_of_one_axis_only(kind: type[nn.Module]) -> None:
    module = kind((None, 1))
    export_and_compare(
        module, uniform(3, 4, 9, 11), dynamic_axes={"input": {3: "T"}}, sizes=[{"T": 2}]
    )


@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d])
def test_bins_of_unknown_sizes(kind: type[nn.Module]) -> None:
    sizes = [{"S": n} for n in (1, 3, 4, 7, 50)]
    export_and_compare(kind(4), uniform(3, 4, 12), dynamic_axes={"input": {2: "S"}}, sizes=sizes)


@pytest.mark.parametrize("spatial", AVG_POOLS)
def test_adaptive_pool_without_batch(spatial: int) -> None:
    x = uniform(4, *SPATIAL[spatial])
    export_and_compare(AVG_POOLS[spatial](3), x)
    export_and_compare(MAX_POOLS[spatial](5), x)


def test_adaptive_pool_of_halves_and_doubles() -> None:
    x = uniform(1, 2, 64, 64, low=1, high=2)
    export_and_compare(nn.AdaptiveAvgPool2d(1), x.half(), rtol=1e-3, atol=0)
    export_and_compare(nn.AdaptiveAvgPool2d(5), x.half(), **HALF)
    export_and_compare(nn.AdaptiveMaxPool2d(5), x.half(), rtol=0, atol=0)
    export_and_compare(nn.AdaptiveAvgPool2d(5), x.double(), rtol=1e-12, atol=1e-12)
