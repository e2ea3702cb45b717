"""Orthogonal polynomials of any degree, and where PyTorch's recurrences end."""

from __future__ import annotations

import math

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

CHEBYSHEV = [
    f"{shifted}chebyshev_polynomial_{kind}" for shifted in ("", "shifted_") for kind in "tuvw"
]
HERMITE = ["hermite_polynomial_h", "hermite_polynomial_he"]
OTHERS = ["laguerre_polynomial_l", "legendre_polynomial_p"]

NUMBERS = [0.0, -0.0, 0.3, -0.3, 0.99, -0.99, 1, -1, 1.001, -1.001, 2, -9, 1e3, 1e20, -1e20]
LIMITS = [math.inf, -math.inf, math.nan]
DEGREES = [0.0, 1, 2, 3, 4, 5.9, 7, 8, 9, 10, 13, 20, 37, -1, -0.5, -3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CHEBYSHEV + HERMITE)
def test_degrees_of_a_tensor(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor(NUMBERS + LIMITS, dtype=dtype)[:, None]
    n = torch.tensor(DEGREES, dtype=dtype)
    export_and_compare(
        getattr(torch.special, name),
        *(x, n),
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 40}],
    )


@pytest.mark.parametrize("name", HERMITE)
def test_the_last_of_hermites(name: str) -> None:
    n = torch.tensor([120, 127, 128, 129, 1000, math.inf, -math.inf, math.nan])
    x = torch.tensor([0, 0.01, -0.01, 0.1])[:, None]
    export_and_compare(getattr(torch.special, name), x, n)


@pytest.mark.parametrize("degree", [-1, 0, 1, 2, 3, 4, 20, 40])
@pytest.mark.parametrize("name", CHEBYSHEV[:1] + HERMITE + OTHERS)
def test_a_number_as_degree(name: str, degree: int) -> None:
    x = torch.tensor(NUMBERS)
    function = getattr(torch.special, name)
    export_and_compare(lambda x: function(x, degree), x, dynamic_axes={"x0": {0: "S"}})


@pytest.mark.parametrize("name", OTHERS)
def test_small_integers_as_degrees(name: str) -> None:
    x, n = uniform(9, low=-1, high=1)[:, None], torch.tensor([0, 1, 2, 3, 20, 255]).byte()
    function = getattr(torch.special, name)
    export_and_compare(function, x, n, rtol=1e-3)
    export_and_compare(lambda n: function(0.25, n), n, rtol=1e-3)


@pytest.mark.parametrize("name", HERMITE + OTHERS)
def test_nothing(name: str) -> None:
    n = torch.zeros(1, dtype=torch.uint8)
    export_and_compare(getattr(torch.special, name), torch.zeros(0, 3), n)


@pytest.mark.parametrize("name", OTHERS)
def test_loops_without_an_end_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedOpError, match="give the degree as a number"):
        export(getattr(torch.special, name), uniform(3), uniform(3))
    with pytest.raises(UnsupportedOpError, match="takes a loop of so many steps"):
        export(lambda x: getattr(torch.special, name)(x, 10**6), uniform(3))


def test_whole_numbers() -> None:
    n = torch.tensor([0, 1, 2, 9])
    export_and_compare(torch.special.chebyshev_polynomial_t, torch.tensor([0, 1, 2, 3]), n)
