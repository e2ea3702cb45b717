"""Division, rounded quotients and remainders have PyTorch's signs and digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform


def quotients(x: Any, y: Any) -> tuple[torch.Tensor, ...]:
    return (
        x // y,
        x % y,
        torch.div(x, y, rounding_mode="floor"),
        torch.div(x, y, rounding_mode="trunc"),
        torch.div(x, y, rounding_mode=None),
        torch.fmod(x, y),
    )


def signed_pairs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Every combination of the signs, exact quotients among them."""
    x = torch.arange(-12, 13)[:, None].expand(25, 8)
    y = torch.tensor([-12, -7, -3, -1, 1, 2, 3, 7]).expand(25, 8)
    return x.to(dtype).contiguous(), y.to(dtype).contiguous()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.float32])
def test_signs(dtype: torch.dtype) -> None:
    export_and_compare(quotients, *signed_pairs(dtype))


@pytest.mark.parametrize("divisor", [3, -3, 1, 2.5, -2.5])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_number_as_divisor(divisor: float, dtype: torch.dtype) -> None:
    x, _ = signed_pairs(dtype)
    export_and_compare(lambda x: quotients(x, divisor), x)


def test_unsigned_integers() -> None:
    x = integers(40, low=0, high=255, dtype=torch.uint8)
    y = integers(40, low=1, high=20, dtype=torch.uint8, seed=1)
    export_and_compare(lambda x, y: (x // y, x % y, x / y), x, y)
    export_and_compare(lambda x: x // 8, x)
    export_and_compare(lambda x: x % 8, x)


def test_quotients_of_half_precision_are_rounded_once() -> None:
    x = torch.tensor([[-161.5, -285.25, 33.84375], [1, 3, 7]], dtype=torch.float16)
    export_and_compare(lambda x: (x / 5, x / 3.3, x / 0.125, x / x.shape[0]), x, rtol=0, atol=0)
    y = torch.tensor([5, 7, 0.1], dtype=torch.float16)
    export_and_compare(lambda x, y: (x / y, x / y[0], 3 / x), x, y, rtol=0, atol=0)


def test_half_precision() -> None:
    x, y = signed_pairs(torch.float16)
    export_and_compare(lambda x, y: (x // y, x % y, torch.fmod(x, y)), x, y, **HALF)


def test_quotients_are_rounded_exactly() -> None:
    # 41 * (1 / 41) is less than 1, and 1 / 0.1 is a little less than 10 in float32.
    n = torch.arange(1.0, 400.0)
    export_and_compare(lambda x, y: (x // y, x % y), n, n.clone(), rtol=0, atol=0)
    tenths = torch.tensor([1.0, 0.3, -0.6, 7.0, -0.7])
    export_and_compare(lambda x: (x // 0.1, x % 0.1), tenths, rtol=0, atol=1e-7)


def test_random_floats() -> None:
    x, y = uniform(1000, low=-1e4, high=1e4), uniform(1000, seed=1)
    # At such quotients one digit in the argument is all of the remainder.
    export_and_compare(lambda x, y: (x // y, x % y, torch.fmod(x, y)), x, y, rtol=0, atol=0)


def test_division_by_zero() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0])
    export_and_compare(lambda x: (x / 0, x // 0, torch.div(x, 0, rounding_mode="trunc")), x)


def test_whole_quotients_of_integers_are_whole() -> None:
    n = torch.arange(1, 400)
    export_and_compare(lambda x, y: (x / y, (x / y).floor().long()), n, n.clone(), rtol=0, atol=0)


def test_large_integers() -> None:
    x = torch.tensor([2**62 + 1, -(2**62) - 1, 2**53 + 1])
    export_and_compare(lambda x: (x // 3, x % 7, x // -3, torch.fmod(x, 7)), x)


def test_number_as_dividend() -> None:
    y = torch.tensor([-7, -2, 2, 7])
    export_and_compare(lambda y: (torch.remainder(5, y), 5 // y, 5 / y), y)
    export_and_compare(lambda y: (torch.remainder(5, y), 5 // y, 5 / y), y.float())


def test_sizes_as_divisors() -> None:
    x = torch.arange(-12, 12).reshape(4, 6)
    export_and_compare(
        lambda x: (x // x.shape[0], x % x.shape[0], x / x.shape[0], x.float() % x.shape[0]),
        x,
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 3}, {"S": 5}],
    )


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_common_divisors_and_multiples(dtype: torch.dtype) -> None:
    numbers = [0, 1, 12, 18, 7, 35, 55, 89, 144, 233]
    x = torch.tensor(numbers)[:, None].to(dtype)
    y = torch.tensor(numbers).to(dtype)
    axes = {"x0": {0: "S"}}
    export_and_compare(
        lambda x, y: (torch.gcd(x, y), torch.lcm(x, y)), x, y, dynamic_axes=axes, sizes=[{"S": 1}]
    )


def test_divisors_of_negative_and_of_large_numbers() -> None:
    x = torch.tensor([-12, 12, -12, 7540113804746346429, 2**62, 0])
    y = torch.tensor([18, -18, -18, 4660046610375530309, -(2**61) * 3, -5])
    export_and_compare(torch.gcd, x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("mode", ["trunc", "floor"])
def test_quotients_that_rounding_makes_whole(dtype: torch.dtype, mode: str) -> None:
    """0.5 / 0.1 is 5 when it is rounded and cut, and 4 where its floor is what is exact."""
    x = torch.linspace(-18, 18, 9001).half().to(dtype)
    export_and_compare(
        lambda x: (torch.div(x, 0.1, rounding_mode=mode), torch.div(x, 0.7, rounding_mode=mode)),
        x,
        rtol=0,
        atol=0,
    )


def divided(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x // y, x % y, torch.fmod(x, y), torch.fmod(x, -y), x // -y, x // 0.1, x % -0.3


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_infinities(dtype: torch.dtype) -> None:
    x = [5.0, -5.0, 0.0, torch.inf, -torch.inf, torch.inf, 3.0, torch.nan, 1.0]
    y = [torch.inf, torch.inf, torch.inf, torch.inf, -torch.inf, 2.0, -torch.inf, 2.0, torch.nan]
    export_and_compare(divided, torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype))


def test_float64_has_all_digits() -> None:
    """0.5 // 0.1 is 4, and 0.5 % 0.1 is 0.09999999999999998: 0.1 is a little more than a tenth."""
    x = torch.cat([torch.linspace(-18, 18, 9001).half().double(), uniform(999).double() * 1e6])
    y = torch.cat([torch.full((9001,), 0.1).double(), uniform(999, seed=1).double()])
    export_and_compare(divided, x, y, rtol=0, atol=0)
