"""Functions of the normal distribution keep their digits, at their limits too."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import HALF, uniform

Function = Callable[[torch.Tensor], torch.Tensor]

EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 2.0, -2.0, 0.5, 1e-20, -1e-20, 1e4]
PROBABILITIES = [0.0, 1.0, -1.0, 0.5, -0.1, 1.1, math.nan, 1e-30, 1e-7, 0.9999999]

#: Each function and the range that its arguments are drawn from.
FUNCTIONS: dict[str, tuple[Function, float, float]] = {
    "erfc": (torch.erfc, -4, 9),
    "erfcx": (torch.special.erfcx, -5, 50),
    "erfinv": (torch.erfinv, -1, 1),
    "ndtri": (torch.special.ndtri, 0, 1),
    "log_ndtr": (torch.special.log_ndtr, -30, 5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_digits(name: str) -> None:
    function, low, high = FUNCTIONS[name]
    x = uniform(3, 400, low=low, high=high)
    export_and_compare(
        function, x, dynamic_axes={"x0": {1: "S"}}, sizes=[{"S": 1}], rtol=3e-6, atol=1e-38
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(name: str) -> None:
    edges = PROBABILITIES if name in ("erfinv", "ndtri") else EDGES
    export_and_compare(FUNCTIONS[name][0], torch.tensor(edges), rtol=3e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["erfc", "erfinv"])
def test_half_precision(name: str) -> None:
    function, low, high = FUNCTIONS[name]
    x = uniform(99, low=max(low, -3), high=min(high, 3)).half()
    export_and_compare(function, x, **HALF)


@pytest.mark.parametrize("name", ["erf", *(n for n in FUNCTIONS if n != "log_ndtr")])
def test_float64(name: str) -> None:
    function, low, high = FUNCTIONS.get(name, (torch.erf, -7, 7))
    export_and_compare(function, uniform(99, low=low, high=high).double(), rtol=1e-12, atol=1e-15)
    edges = PROBABILITIES if name in ("erfinv", "ndtri") else EDGES
    export_and_compare(function, torch.tensor(edges, dtype=torch.float64), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["erfc", "erfinv"])
def test_whole_numbers(name: str) -> None:
    export_and_compare(FUNCTIONS[name][0], torch.arange(1, 5), rtol=3e-6)
