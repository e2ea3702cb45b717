"""Poolings with a sliding window give PyTorch's numbers at every size of their symbols."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import export, export_and_compare
from lower.ops.inputs import HALF, integers, uniform
from torchtract.errors import UnsupportedOpError

MAX_POOLS: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG_POOLS: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
SPATIAL = {1: (13,), 2: (9, 11), 3: (6, 7, 5)}
BATCHES = [{"B": 1}, {"B": 4}]

WINDOWS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 2},
    "stride": {"kernel_size": 3, "stride": 2},
    "overlapping": {"kernel_size": 3, "stride": 1},
    "gaps": {"kernel_size": 2, "stride": 3},
    "padding": {"kernel_size": 3, "stride": 2, "padding": 1},
    "ceil": {"kernel_size": 2, "ceil_mode": True},
    "ceil, padding": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    "ceil, dropped window": {"kernel_size": 2, "stride": 4, "padding": 1, "ceil_mode": True},
}
DILATED: dict[str, dict[str, Any]] = {
    "dilation": {"kernel_size": 2, "stride": 1, "dilation": 3},
    "dilation, padding": {"kernel_size": 3, "dilation": 2, "padding": 1, "ceil_mode": True},
}


@pytest.mark.parametrize("spatial", MAX_POOLS)
@pytest.mark.parametrize("name", WINDOWS | DILATED)
def test_max_pool(spatial: int, name: str) -> None:
    # Below zero everywhere: a pad of zeros would be the maximum.
    x = uniform(3, 4, *SPATIAL[spatial], low=-9, high=-1)
    module = MAX_POOLS[spatial](**(WINDOWS | DILATED)[name])
    export_and_compare(module, x, dynamic_axes={"input": {0: "B"}}, sizes=BATCHES)


@pytest.mark.parametrize("spatial", MAX_POOLS)
@pytest.mark.parametrize("name", WINDOWS | DILATED)
def test_indices_of_max_pool(spatial: int, name: str) -> None:
    # Few different numbers, so that many windows hold their maximum more than once.
    x = integers(3, 4, *SPATIAL[spatial], low=-3, high=-1).float()
    module = MAX_POOLS[spatial](return_indices=True, **(WINDOWS | DILATED)[name])
    export_and_compare(module, x, dynamic_axes={"input": {0: "B"}}, sizes=BATCHES)


@pytest.mark.parametrize("include_pad", [True, False], ids=["pad counts", "pad does not count"])
@pytest.mark.parametrize("spatial", AVG_POOLS)
@pytest.mark.parametrize("name", WINDOWS)
def test_avg_pool(spatial: int, name: str, include_pad: bool) -> None:
    x = uniform(3, 4, *SPATIAL[spatial], low=1, high=9)
    module = AVG_POOLS[spatial](count_include_pad=include_pad, **WINDOWS[name])
    export_and_compare(module, x, dynamic_axes={"input": {0: "B"}}, sizes=BATCHES)


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("name", [name for name in WINDOWS if name != "ceil, dropped window"])
def test_pool_over_symbolic_sizes(kind: type[nn.Module], name: str) -> None:
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 4, "T": 9}, {"B": 2, "S": 12, "T": 5}, {"B": 1, "S": 7, "T": 6}]
    asserted = ["tract_assert S >= 3", "tract_assert T >= 3"]
    x = uniform(3, 4, 9, 11, low=-9, high=-1)
    module = kind(**WINDOWS[name])
    export_and_compare(module, x, dynamic_axes=axes, sizes=sizes, custom_extensions=asserted)


@pytest.mark.parametrize("kind", [nn.MaxPool1d, nn.AvgPool1d])
def test_pool_over_time(kind: type[nn.Module]) -> None:
    axes = {"input": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 2}, {"B": 2, "S": 20}]
    module = kind(3, stride=2, padding=1)
    export_and_compare(module, uniform(3, 4, 13), dynamic_axes=axes, sizes=sizes)


def test_windows_that_ceil_mode_drops_are_refused_on_a_symbolic_axis() -> None:
    module = nn.MaxPool2d(**WINDOWS["ceil, dropped window"])
    with pytest.raises(UnsupportedOpError, match="ceil_mode=True with kernel 2, stride 4"):
        export(module, uniform(3, 4, 9, 11), dynamic_axes={"input": {2: "S"}})


@pytest.mark.parametrize("spatial", MAX_POOLS)
def test_pool_without_batch(spatial: int) -> None:
    x = uniform(4, *SPATIAL[spatial])
    export_and_compare(MAX_POOLS[spatial](3, return_indices=True), x)
    export_and_compare(AVG_POOLS[spatial](3), x)


def test_pool_with_different_arguments_for_each_axis() -> None:
    x = uniform(3, 4, 9, 11, low=-9, high=-1)
    export_and_compare(nn.MaxPool2d((2, 5), (1, 3), (0, 2), (3, 1)), x)
    export_and_compare(nn.AvgPool2d((2, 5), (1, 3), (0, 2), ceil_mode=True), x)


@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize("include_pad", [True, False])
def test_divisor_of_avg_pool(ceil_mode: bool, include_pad: bool) -> None:
    def pool(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, 3, 2, 1, ceil_mode, include_pad, divisor_override=5)

    axes = {"x0": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 4}, {"B": 2, "S": 12}]
    export_and_compare(pool, uniform(3, 4, 9, 11), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_max_pool_of_integers(dtype: torch.dtype) -> None:
    x = integers(3, 4, 9, 11, low=0, high=200, dtype=dtype)
    export_and_compare(nn.MaxPool2d(3, 2, 1), x, dynamic_axes={"input": {0: "B"}})


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
def test_pool_of_halves_and_doubles(kind: type[nn.Module]) -> None:
    x = uniform(3, 4, 9, 11)
    export_and_compare(kind(3, 2, 1), x.half(), **HALF)
    export_and_compare(kind(3, 2, 1), x.double(), rtol=1e-12, atol=1e-12)


def test_mean_of_many_halves_keeps_its_digits() -> None:
    x = uniform(1, 2, 64, 64, low=1, high=2).half()
    export_and_compare(nn.AvgPool2d(64), x, rtol=1e-3, atol=0)


def test_local_response_norm() -> None:
    x = uniform(3, 7, 9, 11)
    module = nn.LocalResponseNorm(3, alpha=0.5)
    export_and_compare(
        module, x, dynamic_axes={"input": {0: "B", 2: "S"}}, sizes=[{"B": 1, "S": 4}]
    )


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_averages_of_integers_are_whole(ceil_mode: bool, count_include_pad: bool) -> None:
    x = integers(2, 3, 9, 8, low=-(2**61), high=2**61)
    x[0] = integers(3, 9, 8, low=-9, high=9)
    flags = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    axes = {"x0": {0: "B"}}
    for function in (
        lambda x: F.avg_pool2d(x, 3, 2, 1, **flags),
        lambda x: F.avg_pool2d(x[0], 2, **flags, divisor_override=3),
        lambda x: F.avg_pool1d(x[0], 3, 2, 1, **flags),
    ):
        export_and_compare(function, x, dynamic_axes=axes, sizes=[{"B": 1}])
