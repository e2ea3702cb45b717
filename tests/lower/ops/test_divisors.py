"""Greatest common divisors and least common multiples are PyTorch's, of signs and zeros too."""

from __future__ import annotations

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_gcd_and_lcm(dtype: torch.dtype) -> None:
    low = -11 if dtype.is_signed else 0
    x, y = (integers(6, 4, low=low, high=11, dtype=dtype, seed=n) for n in range(2))
    x[0], y[0, :2] = 0, 0
    axes, sizes = {"x0": {0: "S"}}, [{"S": 1}, {"S": 6}]
    export_and_compare(lambda x, y: (torch.gcd(x, y[0]), torch.lcm(x, y[1])), x, y)
    export_and_compare(lambda x: torch.gcd(x, x[:1]), x, dynamic_axes=axes, sizes=sizes)


def test_numbers_that_take_most_steps() -> None:
    numbers = [1, 1]
    while numbers[-1] < 2**62:
        numbers.append(numbers[-1] + numbers[-2])
    x = torch.tensor(numbers[:-1])
    export_and_compare(torch.gcd, x[1:], x[:-1])
    export_and_compare(torch.gcd, x[:-1] * 1, x[1:])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_multiples_overflow_as_in_pytorch(dtype: torch.dtype) -> None:
    limits = torch.iinfo(dtype)
    x, y = (integers(60, low=limits.min, high=limits.max - 1, dtype=dtype, seed=n) for n in (0, 1))
    x[:6] = torch.tensor([limits.min, limits.min, limits.min, 0, 3, limits.max])
    y[:6] = torch.tensor([limits.min, 0, 6, limits.min, limits.min, limits.max])
    export_and_compare(lambda x, y: (torch.gcd(x, y), torch.lcm(x, y)), x, y)


def test_scalars_and_nothing() -> None:
    export_and_compare(torch.gcd, torch.tensor(12), torch.tensor(-18))
    export_and_compare(torch.lcm, integers(0, 3, low=1, high=2), torch.tensor(4))


@pytest.mark.parametrize("number", [12, 0])
def test_a_number_that_is_known(number: int) -> None:
    known = torch.tensor([number])
    export_and_compare(
        lambda x: (torch.gcd(x, known), torch.lcm(known, x)), integers(9, low=-9, high=9)
    )
