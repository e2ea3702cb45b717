"""Mantissas, exponents and neighbours are PyTorch's to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness import Function, export, export_and_compare
from lower.ops.inputs import uniform

_BITS = {
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
DTYPES = list(_BITS)

# PyTorch's own rule of the shapes of frexp resizes what it returns.
pytestmark = pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")


def some_of_all(dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Numbers of random bits, all powers of 2, their neighbours, and what is at the ends."""
    limits, number = torch.iinfo(_BITS[dtype]), torch.finfo(dtype)
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(limits.min, limits.max, (2000,), generator=generator)
    powers = torch.ldexp(torch.ones((), dtype=torch.float64), torch.arange(-1074, 1024)).to(dtype)
    ends = [0.0, number.max, number.tiny, number.smallest_normal * number.eps, torch.inf]
    edges = torch.tensor(ends, dtype=dtype)
    sizes = torch.cat([powers, powers * (1 - number.eps / 2), powers * (1 + number.eps), edges])
    nan = torch.tensor([torch.nan], dtype=dtype)
    return torch.cat([bits.to(_BITS[dtype]).view(dtype), sizes, -sizes, nan])


def assert_same_bits(function: Any, *args: torch.Tensor) -> None:
    model = export(Function(function), *args, input_names=[f"x{i}" for i in range(len(args))])
    run = model.compile().run({f"x{i}": x for i, x in enumerate(args)})
    expected = function(*args)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, theirs in zip(run.values(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
        there = ~np.isnan(ours)
        np.testing.assert_array_equal(np.signbit(ours)[there], np.signbit(theirs.numpy())[there])


@pytest.mark.parametrize("dtype", DTYPES)
def test_frexp(dtype: torch.dtype) -> None:
    assert_same_bits(lambda x: tuple(torch.frexp(x)), some_of_all(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nextafter(dtype: torch.dtype) -> None:
    x = some_of_all(dtype)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    assert_same_bits(torch.nextafter, x, x[order])
    assert_same_bits(torch.nextafter, x, torch.zeros((), dtype=dtype))
    assert_same_bits(torch.nextafter, x[-2000::9, None], x[-2000::9])


def test_of_dynamic_axes() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return *torch.frexp(x), torch.nextafter(x, x[0])

    axes = {"x0": {0: "S"}}
    export_and_compare(function, uniform(3, 4), dynamic_axes=axes, sizes=[{"S": 1}, {"S": 9}])
