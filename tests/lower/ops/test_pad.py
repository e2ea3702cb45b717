"""Paddings give PyTorch's numbers at every size that their symbols allow."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

AXES = {"x0": {0: "B", 2: "S"}}
SIZES = [{"B": 1, "S": 6}, {"B": 2, "S": 12}]
MODES = ["constant", "reflect", "replicate", "circular"]
ASSERTED = ["tract_assert S >= 6"]


def padding(pad: list[int], mode: str, value: float | None = None) -> Callable[..., torch.Tensor]:
    return lambda x: F.pad(x, pad, mode, value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "pad", [[1, 0], [0, 2], [3, 2], [-1, 2], [3, -2], [-2, -1], [0, 0]], ids=str
)
def test_pad_of_one_axis(mode: str, pad: list[int]) -> None:
    x = uniform(3, 4, 9)
    export_and_compare(
        padding(pad, mode), x, dynamic_axes=AXES, sizes=SIZES, custom_extensions=ASSERTED
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pad", [[1, 0, 2, 3], [0, 0, 1, 1], [-1, 2, 3, -2]], ids=str)
def test_pad_of_two_axes(mode: str, pad: list[int]) -> None:
    x = uniform(3, 4, 9, 11)
    export_and_compare(
        padding(pad, mode), x, dynamic_axes=AXES, sizes=SIZES, custom_extensions=ASSERTED
    )


@pytest.mark.parametrize("mode", MODES)
def test_pad_of_three_axes(mode: str) -> None:
    x = uniform(3, 4, 5, 6, 7)
    export_and_compare(padding([1, 0, 2, 3, 0, 1], mode), x, dynamic_axes={"x0": {0: "B"}})


@pytest.mark.parametrize("mode", MODES[1:])
def test_pad_without_batch(mode: str) -> None:
    export_and_compare(padding([1, 2], mode), uniform(4, 9))


@pytest.mark.parametrize(
    "module",
    [
        nn.ConstantPad1d((1, 2), 2.5),
        nn.ZeroPad2d((1, 2, 3, 0)),
        nn.ReflectionPad2d(2),
        nn.ReplicationPad2d((2, 1, 0, 3)),
        nn.CircularPad2d((2, 1, 0, 3)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_padding_modules(module: nn.Module) -> None:
    export_and_compare(module, uniform(3, 4, 9, 11), dynamic_axes={"input": {0: "B"}})


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.ops.aten.reflection_pad1d(x, [1, 2]),
        lambda x: torch.ops.aten.replication_pad1d(x, [1, 2]),
        lambda x: torch.ops.aten.constant_pad_nd(x, [1, 2, -1, 0], 0.5),
    ],
    ids=["reflection", "replication", "constant"],
)
def test_pads_by_their_lowest_names(function: Callable[..., torch.Tensor]) -> None:
    export_and_compare(function, uniform(3, 4, 9), dynamic_axes={"x0": {0: "B"}})


@pytest.mark.parametrize("value", [0.1, -math.inf, math.inf, math.nan, 1e-30, -3])
def test_values_of_a_constant_pad(value: float) -> None:
    export_and_compare(padding([1, 2], "constant", value), uniform(3, 4), rtol=0, atol=0)


def test_values_of_a_constant_pad_keep_their_digits() -> None:
    export_and_compare(padding([1, 2], "constant", 0.1), uniform(3, 4).double(), rtol=1e-15, atol=0)
    export_and_compare(padding([1, 2], "constant", 2**24 + 1), integers(3, 4, low=-5, high=5))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float16])
@pytest.mark.parametrize("mode", MODES)
def test_pad_of_other_types(mode: str, dtype: torch.dtype) -> None:
    x = integers(3, 4, 9, low=0, high=99, dtype=dtype)
    if mode in ("reflect", "replicate") and not dtype.is_floating_point:
        x = x.half()
    value = 7 if mode == "constant" else None
    export_and_compare(padding([1, 2], mode, value), x, dynamic_axes={"x0": {0: "B"}})


@pytest.mark.parametrize("value", [True, False])
def test_pad_of_booleans(value: bool) -> None:
    x = integers(3, 4, low=0, high=1).bool()
    export_and_compare(padding([1, 2], "constant", value), x, dynamic_axes={"x0": {0: "B"}})


def test_pad_by_symbolic_amounts() -> None:
    def pad(x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, [x.shape[0], 2, 0, 2 * x.shape[2]], value=0.5)

    export_and_compare(pad, uniform(3, 4, 9), dynamic_axes=AXES, sizes=SIZES)


def test_crop_by_symbolic_amounts() -> None:
    def crop(x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, [-x.shape[0], 0])

    sizes = [{"B": 1, "S": 4}, {"B": 2, "S": 12}]
    asserted = ["tract_assert S >= B"]
    export_and_compare(
        crop, uniform(3, 4, 9), dynamic_axes=AXES, sizes=sizes, custom_extensions=asserted
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_its_own_elements_by_symbolic_amounts(mode: str) -> None:
    def pad(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch, length = x.shape[0], x.shape[2]
        whole = F.pad(x, [1, -length % 4], mode)
        return whole, F.pad(x, [length - 1, batch], mode), F.pad(x, [-batch, 2], mode)

    sizes = [{"B": 1, "S": 6}, {"B": 2, "S": 12}, {"B": 4, "S": 9}, {"B": 3, "S": 1025}]
    asserted = [*ASSERTED, "tract_assert S >= B + 3"]
    export_and_compare(
        pad, uniform(3, 4, 9), dynamic_axes=AXES, sizes=sizes, custom_extensions=asserted
    )


def test_both_axes_of_an_image_by_what_is_left_of_them() -> None:
    def pad(x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, [2, -x.shape[3] % 8, 0, -x.shape[2] % 8], "reflect")

    axes = {"x0": {2: "H", 3: "W"}}
    sizes = [{"H": 8, "W": 21}, {"H": 33, "W": 16}]
    asserted = ["tract_assert H >= 8", "tract_assert W >= 8"]
    export_and_compare(
        pad, uniform(2, 3, 11, 13), dynamic_axes=axes, sizes=sizes, custom_extensions=asserted
    )


def test_circular_padding_of_nothing() -> None:
    export_and_compare(lambda x: F.pad(x, (1, 2), mode="circular"), torch.empty(0, 3, 3))
