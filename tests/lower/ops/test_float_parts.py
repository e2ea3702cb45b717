"""Mantissas, exponents and neighbours are exact, in subnormal and infinite numbers too."""

from __future__ import annotations

import math

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

TINY = 2.0**-149
FLOATS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 1 + 2.0**-23, 1 - 2.0**-24, 2.0**-126, -(2.0**-126)]
FLOATS += [TINY, -TINY, 2.0**-127, 3.4028234663852886e38, math.inf, -math.inf, math.nan, 8.0, 1e-40]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_frexp(dtype: torch.dtype) -> None:
    more = [2.0**k for k in range(-24, 15)] + [1 / 3, -1e4]
    more += [5e-324, 1.7e308, -2.2e-308] if dtype == torch.float64 else []
    x = torch.cat([torch.tensor(FLOATS + more, dtype=torch.float64).to(dtype)])
    export_and_compare(
        torch.frexp, x, dynamic_axes={"x0": {0: "S"}}, sizes=[{"S": 1}], rtol=0, atol=0
    )


def test_nextafter() -> None:
    x, y = torch.tensor(FLOATS)[:, None], torch.tensor(FLOATS)
    export_and_compare(torch.nextafter, x, y, rtol=0, atol=0)
    numbers = uniform(500, low=-100, high=100)
    both = (torch.tensor(math.inf), torch.tensor(-math.inf))
    export_and_compare(
        lambda x, up, down: (torch.nextafter(x, up), torch.nextafter(x, down)),
        *(numbers, *both),
        rtol=0,
        atol=0,
    )


def test_nextafter_of_float64_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="take a larger type"):
        export(torch.nextafter, uniform(3).double(), uniform(3).double())
