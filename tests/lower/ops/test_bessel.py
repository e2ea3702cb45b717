"""Bessel's and Airy's functions keep their digits, near and far, and have PyTorch's limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform

EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 2.0, -2.0, 1e-20, -1e-20, 8.0, 104.0]

#: Where each function's arguments are drawn from, and the same function in mpmath.
FUNCTIONS: dict[str, tuple[float, float, Callable[[Any], Any]]] = {
    "airy_ai": (-30, 30, mpmath.airyai),
    "bessel_j0": (-40, 40, lambda x: mpmath.besselj(0, x)),
    "bessel_j1": (-40, 40, lambda x: mpmath.besselj(1, x)),
    "bessel_y0": (0.01, 40, lambda x: mpmath.bessely(0, x)),
    "bessel_y1": (0.01, 40, lambda x: mpmath.bessely(1, x)),
    "i0": (-30, 30, lambda x: mpmath.besseli(0, x)),
    "i0e": (-90, 90, lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x))),
    "i1": (-30, 30, lambda x: mpmath.besseli(1, x)),
    "i1e": (-90, 90, lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x))),
    "modified_bessel_k0": (0.01, 30, lambda x: mpmath.besselk(0, x)),
    "modified_bessel_k1": (0.01, 30, lambda x: mpmath.besselk(1, x)),
    "scaled_modified_bessel_k0": (0.01, 90, lambda x: mpmath.besselk(0, x) * mpmath.exp(x)),
    "scaled_modified_bessel_k1": (0.01, 90, lambda x: mpmath.besselk(1, x) * mpmath.exp(x)),
    "spherical_bessel_j0": (-30, 30, lambda x: mpmath.sin(x) / x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_pytorch(name: str) -> None:
    low, high, _ = FUNCTIONS[name]
    x = uniform(3, 200, low=low, high=high)
    function = getattr(torch.special, name)
    export_and_compare(function, x, dynamic_axes={"x0": {1: "S"}}, sizes=[{"S": 1}], atol=3e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_digits(name: str) -> None:
    low, high, exact = FUNCTIONS[name]
    x = uniform(200, low=low, high=high).double()
    model = export(getattr(torch.special, name), x)
    expected = [float(exact(mpmath.mpf(number))) for number in x.tolist()]
    actual = model.compile().run({"x0": x})["output"]
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=3e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(name: str) -> None:
    # PyTorch's waves lose their digits far out.
    edges = [x for x in EDGES if x != 104 or not name.startswith("bessel")]
    export_and_compare(getattr(torch.special, name), torch.tensor(edges), rtol=3e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["i0", "i1"])
def test_growth_ends_where_pytorch_has_infinity(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([88.0, 89.0, -89.0, 91.0, 709.0, 710.0], dtype=dtype)
    export_and_compare(getattr(torch.special, name), x, rtol=1e-5)


def test_half_precision() -> None:
    export_and_compare(torch.special.i0, uniform(99).half(), **HALF)


def test_whole_numbers() -> None:
    export_and_compare(torch.special.bessel_j0, torch.arange(-3, 20), rtol=1e-5)
