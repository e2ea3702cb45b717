"""Cholesky's factors and triangles, for batches of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import linalg

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

pytestmark = pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")

AXES, SIZES = {"x0": {0: "B"}}, [{"B": 1}, {"B": 7}]

FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "cholesky": lambda x: (linalg.cholesky(x @ x.mT), linalg.cholesky(x @ x.mT, upper=True)),
    "cholesky_ex": lambda x: linalg.cholesky_ex(x @ x.mT),
    "cholesky_solve": lambda x: (
        torch.cholesky_solve(x[..., :2], x),
        torch.cholesky_solve(x.mT, x, upper=True),
    ),
    "cholesky_inverse": lambda x: (
        torch.cholesky_inverse(x),
        torch.cholesky_inverse(x, upper=True),
    ),
    "triangular_solve": lambda x: (
        *torch.triangular_solve(x.mT, x),
        torch.triangular_solve(x[..., :1], x, upper=False, transpose=True).solution,
        torch.triangular_solve(x[..., :1], x, transpose=True, unitriangular=True).solution,
    ),
    "upper_triangle": lambda x: (
        linalg.solve_triangular(x, x.mT, upper=True),
        linalg.solve_triangular(x, x.mT, upper=True, left=False, unitriangular=True),
    ),
    "lower_triangle": lambda x: (
        linalg.solve_triangular(x, x[..., :1], upper=False),
        linalg.solve_triangular(x, x.mT, upper=False, left=False),
    ),
}


def matrices(batch: int, order: int) -> torch.Tensor:
    """Matrices whose triangles have inverses."""
    return torch.eye(order) * 3 + uniform(batch, order, order, low=-1, high=1)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_function(name: str, order: int) -> None:
    export_and_compare(
        FUNCTIONS[name], matrices(4, order), dynamic_axes=AXES, sizes=SIZES, atol=1e-4
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_float64(name: str) -> None:
    export_and_compare(FUNCTIONS[name], matrices(3, 5).double(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(2, 0, 0), (0, 3, 3)], ids=str)
def test_function_of_nothing(name: str, shape: tuple[int, ...]) -> None:
    def function(x: torch.Tensor) -> Any:
        found = FUNCTIONS[name](x)
        return (*(found if isinstance(found, tuple) else [found]), x.sum())

    export_and_compare(function, torch.zeros(shape))


def test_matrices_that_are_not_positive_are_counted() -> None:
    x = torch.tensor([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).repeat(2, 1, 1)
    x[1] = torch.eye(3)
    export_and_compare(lambda x: linalg.cholesky_ex(x).info, x)


def test_one_factor_for_many_right_sides() -> None:
    x, y = matrices(1, 3)[0], uniform(4, 2, 3, 2)
    export_and_compare(
        lambda y, x: (
            torch.cholesky_solve(y, x.expand(4, 2, 3, 3)),
            *torch.triangular_solve(y[0, 0], x.expand(4, 2, 3, 3)),
        ),
        *(y, x),
    )


def test_large_matrices_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="more than 32 rows"):
        export(torch.cholesky_inverse, uniform(33, 33))
