"""Factors with partial pivoting, and solutions from them, for batches of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import linalg

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

# PyTorch's annotations of lu_unpack are wrong.
lu_unpack: Any = torch.lu_unpack

FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "lu": linalg.lu,
    "lu_factor": linalg.lu_factor,
    "lu_factor_ex": linalg.lu_factor_ex,
    "torch.lu": lambda x: torch.lu(x, get_infos=True),
    "lu_unpack": lambda x: lu_unpack(*linalg.lu_factor(x)),
    "lu_unpack_pivots": lambda x: lu_unpack(*linalg.lu_factor(x), unpack_data=False).P,
    "lu_unpack_data": lambda x: lu_unpack(*linalg.lu_factor(x), unpack_pivots=False)[1:],
}


@pytest.mark.filterwarnings("ignore:torch.lu is deprecated")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 3), (3, 5), (1, 3), (3, 1)], ids=str)
def test_factors(name: str, shape: tuple[int, int]) -> None:
    axes, sizes = {"x0": {0: "B"}}, [{"B": 1}, {"B": 7}]
    export_and_compare(FUNCTIONS[name], uniform(4, *shape), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0, 2), (0, 2, 2)], ids=str)
def test_factors_of_nothing(shape: tuple[int, ...]) -> None:
    if 0 in shape[-2:]:
        export_and_compare(lambda x: (*linalg.lu_factor_ex(x), x.sum()), torch.zeros(shape))
    export_and_compare(lambda x: (*linalg.lu(x), x.sum()), torch.zeros(shape))


def test_the_first_of_equal_rows_is_chosen() -> None:
    x = torch.tensor([[1.0, 2.0, 0.0], [-2.0, 1.0, 4.0], [2.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
    export_and_compare(lambda x: (*linalg.lu(x), *linalg.lu_factor(x)), x)


def test_factors_of_singular_matrices() -> None:
    x = torch.tensor([[0.0, 2.0, 1.0], [0.0, 4.0, 2.0], [0.0, 4.0, 3.0]])
    x = torch.stack([x, torch.zeros(3, 3), torch.eye(3)])
    export_and_compare(lambda x: (*linalg.lu(x), *linalg.lu_factor_ex(x)), x)


def test_factors_of_float64() -> None:
    x = uniform(2, 6, 6).double()
    export_and_compare(lambda x: (*linalg.lu(x), *linalg.lu_factor(x)), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_solution(left: bool, adjoint: bool) -> None:
    def solve(x: torch.Tensor, y: torch.Tensor) -> Any:
        return linalg.lu_solve(*linalg.lu_factor(x), y, left=left, adjoint=adjoint)

    x, y = uniform(3, 4, 4), uniform(2, 1, 4, 4, seed=1)
    axes, sizes = {"x0": {0: "B"}, "x1": {0: "C"}}, [{"B": 1, "C": 1}, {"B": 5, "C": 4}]
    export_and_compare(solve, x, y, dynamic_axes=axes, sizes=sizes, atol=1e-4)


@pytest.mark.filterwarnings("ignore:torch.lu_solve is deprecated")
def test_solution_from_given_factors() -> None:
    x, pivots = linalg.lu_factor(uniform(3, 4, 4))
    y = uniform(3, 4, 2, seed=1)
    export_and_compare(lambda y, x, p: (torch.lu_solve(y, x, p), *lu_unpack(x, p)), y, x, pivots)


@pytest.mark.filterwarnings("ignore:torch.lu_solve is deprecated")
def test_solution_of_nothing() -> None:
    x, pivots = linalg.lu_factor(uniform(3, 4, 4))
    y = torch.zeros(3, 4, 0)
    export_and_compare(lambda y: torch.lu_solve(y, x, pivots), y)


def test_a_symbolic_number_of_rows_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="number of rows"):
        export(linalg.lu, uniform(5, 3), dynamic_axes={"x0": {0: "S"}})


def test_large_matrices_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="more than 32 rows and columns"):
        export(linalg.lu, uniform(33, 40))


def test_factors_with_blocks_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="blocks of one row or two"):
        export(linalg.ldl_factor, uniform(3, 3))
    with pytest.raises(UnsupportedOpError, match="blocks of one row or two"):
        export(lambda x: linalg.ldl_solve(*linalg.ldl_factor_ex(x)[:2], x), uniform(3, 3))
