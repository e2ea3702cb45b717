"""Special functions keep the digits of float32, at their poles and limits too."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform
from torchtract.errors import UnsupportedOpError

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
    "lgamma": (torch.lgamma, -9.9, 30),
    "digamma": (torch.digamma, 1.8, 30),
    "trigamma": (lambda x: torch.polygamma(1, x), 0.1, 30),
    "polygamma": (lambda x: torch.polygamma(0, x), 1.8, 30),
    "mvlgamma": (lambda x: torch.mvlgamma(x, 3), 1.1, 9),
    "i0": (torch.i0, -20, 20),
    "i0e": (torch.special.i0e, -90, 90),
    "i1": (torch.special.i1, -20, 20),
    "i1e": (torch.special.i1e, -90, 90),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_digits(name: str) -> None:
    function, low, high = FUNCTIONS[name]
    x = uniform(3, 400, low=low, high=high)
    export_and_compare(
        function, x, dynamic_axes={"x0": {1: "S"}}, sizes=[{"S": 1}], rtol=3e-6, atol=1e-38
    )


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "mvlgamma"])
def test_edges(name: str) -> None:
    edges = PROBABILITIES if name in ("erfinv", "ndtri") else EDGES
    if name == "trigamma":  # at whole numbers below zero PyTorch doesn't reach infinity
        edges = [x for x in edges if x not in (-1, -2)]
    export_and_compare(FUNCTIONS[name][0], torch.tensor(edges), rtol=3e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["erfc", "erfinv", "lgamma", "digamma", "trigamma", "i0", "i1"])
def test_half_precision(name: str) -> None:
    function, low, high = FUNCTIONS[name]
    x = uniform(99, low=max(low, -3), high=min(high, 3)).half()
    export_and_compare(function, x, **HALF)


#: How exact PyTorch itself is.
@pytest.mark.parametrize(
    ("name", "rtol"),
    [
        ("erfinv", 1e-12),
        ("ndtri", 1e-12),
        ("lgamma", 1e-11),
        ("digamma", 1e-11),
        ("trigamma", 1e-8),
    ],
)
def test_float64(name: str, rtol: float) -> None:
    function, low, high = FUNCTIONS[name]
    low = -9.9 if name in ("digamma", "trigamma") else low
    x = uniform(99, low=low, high=high).double()
    export_and_compare(function, x, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("name", ["lgamma", "digamma", "i0", "erfc", "erfinv"])
def test_whole_numbers(name: str) -> None:
    export_and_compare(FUNCTIONS[name][0], torch.arange(1, 5), rtol=3e-6)


@pytest.mark.parametrize("name", ["erfc", "i0"])
def test_series_of_fewer_digits_are_refused_in_float64(name: str) -> None:
    with pytest.raises(UnsupportedOpError, match="has the digits of float32"):
        export(FUNCTIONS[name][0], uniform(3).double())
