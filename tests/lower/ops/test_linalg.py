"""Small matrices: determinants, inverses and solutions, for batches of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import linalg

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

Function = Callable[[torch.Tensor], Any]

FUNCTIONS: dict[str, Function] = {
    "det": lambda x: (linalg.det(x), x.det()),
    "slogdet": lambda x: (*linalg.slogdet(x), *x.slogdet(), x.logdet()),
    "inv": lambda x: (linalg.inv(x), x.inverse(), linalg.matrix_power(x, -2)),
    "inv_ex": linalg.inv_ex,
    "solve": lambda x: (linalg.solve(x, x.mT[..., :2]), linalg.solve(x, x[..., 0])),
    "solve_right": lambda x: linalg.solve(x, x.mT[..., :2, :], left=False),
    "solve_ex": lambda x: (*linalg.solve_ex(x, x.mT), *linalg.solve_ex(x, x.mT, left=False)),
    "solve_one_vector": lambda x: linalg.solve(x, torch.arange(x.shape[-1]).to(x)),
}


def matrices(batch: int, order: int) -> torch.Tensor:
    """Matrices with an inverse, whose rows must be swapped on the way to it."""
    diagonal = torch.eye(order).flip(0) * 3
    return diagonal + uniform(batch, order, order, low=-1, high=1)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_function(name: str, order: int) -> None:
    axes, sizes = {"x0": {0: "B"}}, [{"B": 1}, {"B": 7}]
    export_and_compare(
        FUNCTIONS[name], matrices(4, order), dynamic_axes=axes, sizes=sizes, atol=1e-4
    )


@pytest.mark.parametrize("name", ["det", "slogdet", "inv", "solve"])
def test_function_of_float64(name: str) -> None:
    export_and_compare(FUNCTIONS[name], matrices(3, 5).double(), rtol=1e-9, atol=1e-9)


def test_zeros_on_the_diagonal() -> None:
    x = torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0], [2.0, 1.0, 0.0]])
    export_and_compare(lambda x: (linalg.det(x), linalg.inv(x)), x)


def test_matrices_without_factors_are_counted() -> None:
    x = torch.tensor([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).repeat(2, 1, 1)
    x[1] = torch.eye(3)
    export_and_compare(lambda x: (linalg.inv_ex(x).info, linalg.solve_ex(x, x).info), x)


def test_determinant_of_a_singular_matrix() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 1.0]])
    export_and_compare(lambda x: (linalg.det(x), *linalg.slogdet(x), x.logdet()), x)


def test_a_symbolic_number_of_rows_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="number of rows"):
        export(linalg.inv, uniform(5, 5), dynamic_axes={"x0": {0: "S", 1: "S"}})


def test_tensors_as_matrices() -> None:
    x = matrices(1, 6).reshape(2, 3, 3, 1, 2)
    y = uniform(2, 3, seed=1)
    export_and_compare(
        lambda x, y: (linalg.tensorinv(x), linalg.tensorsolve(x, y)), x, y, atol=1e-4
    )


def test_one_matrix_for_many_right_sides() -> None:
    x, y = matrices(1, 3)[0], uniform(4, 2, 3, 2)
    export_and_compare(
        lambda x, y: (*linalg.solve_ex(x, y), linalg.solve(x, y)),
        *(x, y),
        dynamic_axes={"x1": {0: "B"}},
        sizes=[{"B": 1}, {"B": 7}],
        atol=1e-4,
    )


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 2, 2)], ids=str)
def test_matrices_without_elements(shape: tuple[int, ...]) -> None:
    export_and_compare(
        lambda x: (linalg.det(x), *linalg.inv_ex(x), *linalg.solve_ex(x, x)), torch.zeros(shape)
    )


def test_factors_of_a_solution_are_refused() -> None:
    def factors(x: torch.Tensor) -> Any:
        return torch.ops.aten._linalg_solve_ex(x, x)[1]

    with pytest.raises(UnsupportedOpError, match="of the matrix or of its transpose"):
        export(factors, matrices(2, 3))
