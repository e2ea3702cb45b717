"""Comparison, logic and selection give PyTorch's values and types."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform

DTYPES = [torch.float32, torch.float16, torch.float64, torch.int64, torch.int32, torch.uint8]
BOOL_PAIR = (torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False]))


def comparisons(x: torch.Tensor, y: torch.Tensor | float) -> tuple[torch.Tensor, ...]:
    return x == y, x != y, x < y, x <= y, x > y, x >= y


@pytest.mark.parametrize("dtype", DTYPES)
def test_comparison_of_one_type(dtype: torch.dtype) -> None:
    x, y = (integers(6, 7, low=0, high=3, dtype=dtype, seed=i) for i in range(2))
    export_and_compare(comparisons, x, y)


def test_comparison_of_truth_values() -> None:
    export_and_compare(comparisons, *BOOL_PAIR)
    export_and_compare(lambda x: (x == True, x != False), BOOL_PAIR[0])  # noqa: E712


@pytest.mark.parametrize(
    "dtypes",
    [
        (torch.int64, torch.float32),
        (torch.int32, torch.int64),
        (torch.uint8, torch.int8),
        (torch.bool, torch.int64),
        (torch.float16, torch.float32),
    ],
)
def test_comparison_of_mixed_types(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    x, y = (integers(6, 7, low=0, high=1, dtype=d, seed=i) for i, d in enumerate(dtypes))
    export_and_compare(comparisons, x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8])
@pytest.mark.parametrize("number", [2, 1.5])
def test_comparison_with_a_number(dtype: torch.dtype, number: float) -> None:
    x = integers(6, 7, low=0, high=3, dtype=dtype)
    export_and_compare(lambda x: comparisons(x, number), x)


def test_comparison_broadcasts_over_symbols() -> None:
    x, y = integers(3, 1, 5, low=0, high=3), integers(4, 5, low=0, high=3, seed=1)
    axes = {"x0": {0: "B"}, "x1": {0: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 5, "S": 2}]
    export_and_compare(comparisons, x, y, dynamic_axes=axes, sizes=sizes)


def test_comparison_with_a_size() -> None:
    x = integers(4, 6, low=0, high=6)
    axes = {"x0": {0: "S"}}
    sizes = [{"S": 1}, {"S": 3}]
    export_and_compare(lambda x: comparisons(x, x.shape[0]), x, dynamic_axes=axes, sizes=sizes)
    x = x.float()
    export_and_compare(lambda x: comparisons(x, x.shape[0]), x, dynamic_axes=axes, sizes=sizes)


def test_comparison_with_not_a_number() -> None:
    x = torch.tensor([math.nan, 1.0, math.inf, -math.inf])
    y = torch.tensor([math.nan, 2.0, math.inf, math.inf])
    export_and_compare(comparisons, x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_kinds_of_floats(dtype: torch.dtype) -> None:
    x = torch.tensor([1.0, -2.0, 0.0, math.nan, math.inf, -math.inf], dtype=dtype)
    export_and_compare(
        lambda x: (x.isnan(), x.isinf(), x.isfinite(), x.isposinf(), x.isneginf()), x
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.int64])
def test_signbit(dtype: torch.dtype) -> None:
    numbers = [1.0, -2.0, 0.0, -0.0] + [math.nan, math.inf, -math.inf] * dtype.is_floating_point
    export_and_compare(torch.signbit, torch.tensor(numbers).to(dtype))


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bool])
def test_extremes_of_numbers(dtype: torch.dtype) -> None:
    numbers = [1.0, -2.0, 0.0, 3.0] + [math.nan, math.inf, -math.inf] * dtype.is_floating_point
    x = torch.tensor(numbers).to(dtype)
    export_and_compare(
        lambda x, y: (torch.fmax(x, y), torch.fmin(x, y)),
        x,
        x[:, None],
        dynamic_axes={"x1": {0: "S"}},
        sizes=[{"S": 1}, {"S": 9}],
    )


@pytest.mark.parametrize("function", [torch.isnan, torch.isinf, torch.isfinite, torch.isposinf])
def test_kinds_of_integers(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = integers(3, 4, low=-9, high=9)
    export_and_compare(function, x, dynamic_axes={"x0": {0: "S"}}, sizes=[{"S": 1}, {"S": 5}])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_logic(dtype: torch.dtype) -> None:
    x, y = (v.to(dtype) * 3 if dtype != torch.bool else v for v in BOOL_PAIR)
    export_and_compare(
        lambda x, y: (
            torch.logical_and(x, y),
            torch.logical_or(x, y),
            torch.logical_xor(x, y),
            torch.logical_not(x),
        ),
        x,
        y,
    )


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.int32, torch.uint8])
def test_bitwise(dtype: torch.dtype) -> None:
    high = 1 if dtype == torch.bool else 100
    x, y = (integers(5, 6, low=0, high=high, dtype=dtype, seed=i) for i in range(2))
    export_and_compare(lambda x, y: (x & y, x | y, x ^ y, ~x), x, y)


def test_bitwise_with_numbers_and_mixed_types() -> None:
    x = integers(5, 6, low=-100, high=100, dtype=torch.int32)
    export_and_compare(lambda x: (x & 6, 6 | x, x ^ 6, x & (x > 0)), x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_shifts_by_numbers(dtype: torch.dtype) -> None:
    low = 0 if dtype == torch.uint8 else -100
    x = integers(5, 6, low=low, high=100, dtype=dtype)
    export_and_compare(lambda x: (x << 3, x >> 2, x << 0), x)


def test_shifts_by_tensors() -> None:
    x = torch.tensor([5, -5, 5, -5, 5, -5, 2**62])
    y = torch.tensor([2, 2, 63, 63, 64, 99, 1])
    export_and_compare(lambda x, y: (x << y, x >> y), x, y)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bool])
def test_larger_and_smaller(dtype: torch.dtype) -> None:
    high = 1 if dtype == torch.bool else 9
    x, y = (integers(5, 6, low=0, high=high, dtype=dtype, seed=i) for i in range(2))
    export_and_compare(
        lambda x, y: (torch.maximum(x, y), torch.minimum(x, y), torch.max(x, y), torch.min(x, y)),
        x,
        y,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8])
def test_clamp(dtype: torch.dtype) -> None:
    x = integers(5, 6, low=0, high=9, dtype=dtype)
    export_and_compare(
        lambda x: (
            x.clamp(2, 5),
            x.clamp(min=3),
            x.clamp(max=4),
            x.clamp(6, 2),
            x.clip(2, 5),
            torch.clamp_min(x, 3),
            torch.clamp_max(x, 4),
        ),
        x,
    )


def test_clamp_of_integers_to_fractions() -> None:
    export_and_compare(lambda x: x.clamp(1.5, 6.5), integers(5, 6, low=0, high=9))


def test_clamp_to_tensors() -> None:
    x, low, high = uniform(4, 5), uniform(5, seed=1) - 1, uniform(4, 1, seed=2) + 1
    export_and_compare(
        lambda x, low, high: (
            torch.clamp(x, low, high),
            torch.clamp(x, max=high),
            x.clip(low),
            x.clamp_min(low),
            x.clamp_max(high),
        ),
        x,
        low,
        high,
    )


def test_where() -> None:
    x, y = uniform(4, 5), uniform(5, seed=1)
    export_and_compare(
        lambda x, y: (
            torch.where(x > 0, x, y),
            torch.where(x > 0, x, 0),
            torch.where(x > 0, 1.5, y),
            torch.where(x > 0, 1, 0),
            torch.where(x > 0, 1.0, -math.inf),
            torch.where(x > 0, x, y.half()),
        ),
        x,
        y,
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.uint8, torch.bool])
def test_where_of_other_types(dtype: torch.dtype) -> None:
    high = 1 if dtype == torch.bool else 9
    x, y = (integers(5, 6, low=0, high=high, dtype=dtype, seed=i) for i in range(2))
    condition = uniform(5, 6) > 0
    export_and_compare(
        lambda c, x, y: (torch.where(c, x, y), torch.where(c, x, 0)), condition, x, y
    )


def test_where_broadcasts_over_symbols() -> None:
    condition, x, y = uniform(4, 1) > 0, uniform(3, 1, 5, seed=1), uniform(5, seed=2)
    axes = {"x0": {0: "S"}, "x1": {0: "B"}}
    sizes = [{"B": 1, "S": 1}, {"B": 5, "S": 2}]
    export_and_compare(torch.where, condition, x, y, dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_masked_fill(dtype: torch.dtype) -> None:
    x, mask = integers(2, 5, 6, low=0, high=9, dtype=dtype), uniform(5, 6, seed=1) > 0
    export_and_compare(
        lambda x, mask: (
            x.masked_fill(mask, -7),
            x.masked_fill(mask, torch.tensor(3, dtype=dtype)),
            x.clone().masked_fill_(~mask, 2),
        ),
        x,
        mask,
    )


def test_masked_fill_with_infinity() -> None:
    x, mask = uniform(5, 6), uniform(5, 6, seed=1) > 0
    export_and_compare(lambda x, mask: x.masked_fill(mask, -math.inf), x, mask)
    half = x.half()
    export_and_compare(lambda x, mask: x.masked_fill(mask, -math.inf), half, mask, **HALF)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_nan_to_num(dtype: torch.dtype) -> None:
    x = torch.tensor([1.0, -2.0, 0.0])
    if dtype.is_floating_point:
        x = torch.cat([x, torch.tensor([math.nan, math.inf, -math.inf])])
    export_and_compare(
        lambda x: (torch.nan_to_num(x), torch.nan_to_num(x, nan=2.0, posinf=7.0, neginf=-7.0)),
        x.to(dtype),
    )


def test_unsigned_shifts_by_tensors() -> None:
    x = integers(9, low=0, high=255, dtype=torch.uint8)
    amount = torch.tensor([0, 1, 2, 7, 8, 9, 31, 200, 255], dtype=torch.uint8)
    export_and_compare(lambda x, amount: (x << amount, x >> amount), x, amount)


def test_limits_of_truth_values() -> None:
    x, y = BOOL_PAIR
    functions = (torch.clamp_min, torch.clamp_max, torch.maximum, torch.minimum)
    export_and_compare(lambda x, y: tuple(f(x, y) for f in functions), x, y)
    export_and_compare(lambda x: x.view(2, 2).max(1), x)
