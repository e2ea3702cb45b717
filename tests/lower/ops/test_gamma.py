"""Gamma and what comes from it keep the digits of float32, at their poles and limits too."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform

Function = Callable[[torch.Tensor], torch.Tensor]

EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 2.0, -2.0, 0.5, 1e-20, -1e-20, 1e4]

#: Each function and the range that its arguments are drawn from.
FUNCTIONS: dict[str, tuple[Function, float, float]] = {
    "lgamma": (torch.lgamma, -9.9, 30),
    "digamma": (torch.digamma, 1.8, 30),
    "polygamma 0": (lambda x: torch.polygamma(0, x), 1.8, 30),
    "trigamma": (lambda x: torch.polygamma(1, x), 0.1, 30),
    "polygamma 2": (lambda x: torch.polygamma(2, x), 0.1, 30),
    "polygamma 3": (lambda x: torch.polygamma(3, x), -9.9, 30),
    "polygamma 4": (lambda x: torch.polygamma(4, x), 0.1, 30),
    "polygamma 9": (lambda x: torch.polygamma(9, x), -9.9, 30),
    "mvlgamma": (lambda x: torch.mvlgamma(x, 3), 1.1, 9),
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
    edges = EDGES
    if name == "trigamma":  # at whole numbers below zero PyTorch doesn't reach infinity
        edges = [x for x in edges if x not in (-1, -2)]
    export_and_compare(FUNCTIONS[name][0], torch.tensor(edges), rtol=3e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["lgamma", "digamma", "trigamma"])
def test_half_precision(name: str) -> None:
    function, low, high = FUNCTIONS[name]
    x = uniform(99, low=max(low, -3), high=min(high, 3)).half()
    export_and_compare(function, x, **HALF)


#: How exact PyTorch itself is.
@pytest.mark.parametrize(
    ("name", "rtol"),
    [("lgamma", 1e-11), ("digamma", 1e-11), ("trigamma", 1e-8), ("polygamma 3", 1e-10)],
)
def test_float64(name: str, rtol: float) -> None:
    function, _, high = FUNCTIONS[name]
    x = uniform(99, low=-9.9, high=high).double()
    export_and_compare(function, x, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_whole_numbers(name: str) -> None:
    export_and_compare(FUNCTIONS[name][0], torch.arange(1, 5), rtol=3e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeta(dtype: torch.dtype) -> None:
    s = [1.0, 1.1, 1.5, 2, 3, 4, 30, 120, 0.5, -1, math.inf, math.nan, 1e4]
    q = [0.1, 1, 1.7, 9, 30, 1e6, -0.5, -1, -2.3, -7.7, 0, -0.0, math.inf, -math.inf, math.nan]
    args = torch.tensor(s, dtype=dtype)[:, None], torch.tensor(q, dtype=dtype)
    rtol = 3e-6 if dtype == torch.float32 else 1e-11
    export_and_compare(torch.special.zeta, *args, rtol=rtol, atol=1e-44)


def test_zeta_of_a_number() -> None:
    q = uniform(9, low=0.1, high=9)
    export_and_compare(lambda q: torch.special.zeta(3, q), q, rtol=3e-6)
    export_and_compare(lambda s: torch.special.zeta(s, 2.5), 1 + q, rtol=3e-6)


# Incomplete integrals.

ORDERS = [0, 0.01, 0.1, 0.5, 0.9, 1, 1.5, 2, 5, 8, 12, 19.9, 20, 50, 199, 1e3, 1e5, 1e7]
ARGUMENTS = [0, 1e-6, 0.01, 0.1, 0.5, 0.99, 1, 1.5, 3, 8, 12, 20, 30, 150, 199, 1.1e3, 1e5, 1e7]


@pytest.mark.parametrize("function", [torch.igamma, torch.igammac])
def test_incomplete(function: Callable[..., torch.Tensor]) -> None:
    limits = [math.inf, math.nan, -1.0]
    a, x = torch.tensor(ORDERS + limits)[:, None], torch.tensor(ARGUMENTS + limits)
    axes = {"x0": {0: "A"}, "x1": {0: "X"}}
    sizes = [{"A": 1, "X": 5}]
    export_and_compare(function, a, x, dynamic_axes=axes, sizes=sizes, rtol=1e-5, atol=1e-30)


def test_incomplete_in_float64() -> None:
    a = torch.tensor(ORDERS[1:-1], dtype=torch.float64)[:, None]
    x = torch.tensor(ARGUMENTS[1:], dtype=torch.float64)
    model = export(lambda a, x: (torch.igamma(a, x), torch.igammac(a, x)), a, x).compile()
    lower, upper = model.run({"x0": a, "x1": x}).values()
    with mpmath.workdps(30):
        for i, order in enumerate(a[:, 0].tolist()):
            exact = [[float(part) for part in _incomplete(order, v)] for v in x.tolist()]
            below, above = np.transpose(exact)
            np.testing.assert_allclose(lower[i], below, rtol=3e-10, atol=1e-290)
            np.testing.assert_allclose(upper[i], above, rtol=3e-10, atol=1e-290)


def _incomplete(a: float, x: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    return (
        mpmath.gammainc(a, 0, x, regularized=True),
        mpmath.gammainc(a, x, mpmath.inf, regularized=True),
    )


def test_incomplete_in_half_precision() -> None:
    a, x = (uniform(50, low=0.1, high=9, seed=seed).half() for seed in (0, 1))
    export_and_compare(torch.igamma, a, x, **HALF)
