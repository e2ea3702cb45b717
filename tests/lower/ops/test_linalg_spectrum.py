"""Singular values, eigenvalues and pseudoinverses, for batches of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import linalg

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

AXES, SIZES = {"x0": {0: "B"}}, [{"B": 1}, {"B": 7}]

FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "svdvals": linalg.svdvals,
    "svd": lambda x: linalg.svd(x).S,
    "norms": lambda x: (
        linalg.matrix_norm(x, 2),
        linalg.matrix_norm(x, -2),
        linalg.matrix_norm(x, "nuc", keepdim=True),
        linalg.norm(x, 2, dim=(1, 2)),
        x.norm("nuc", dim=(2, 1)),
    ),
    "pinv": lambda x: (linalg.pinv(x), torch.pinverse(x), linalg.pinv(x, atol=0.9)),
    "rank": lambda x: (linalg.matrix_rank(x), linalg.matrix_rank(x, atol=0.9)),
}

SYMMETRIC: dict[str, Callable[[torch.Tensor], Any]] = {
    "eigvalsh": lambda x: (linalg.eigvalsh(x), linalg.eigvalsh(x, UPLO="U")),
    "eigh": lambda x: linalg.eigh(x).eigenvalues,
    "pinv": lambda x: linalg.pinv(x + x.mT, hermitian=True),
    "rank": lambda x: linalg.matrix_rank(x, hermitian=True, rtol=0.3),
    "cond": lambda x: (linalg.cond(x), linalg.cond(x, -2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 5), (6, 3), (3, 6), (1, 4), (4, 1)], ids=str)
def test_function(name: str, shape: tuple[int, int]) -> None:
    export_and_compare(FUNCTIONS[name], uniform(4, *shape), dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_function_of_symmetric(name: str, order: int) -> None:
    export_and_compare(SYMMETRIC[name], uniform(4, order, order), dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_values_of_float64(size: float) -> None:
    x = uniform(2, 7, 7).double() * size
    functions = (linalg.svdvals, linalg.eigvalsh, lambda x: linalg.matrix_rank(x, atol=size))
    for function in functions:
        export_and_compare(function, x, rtol=1e-12, atol=1e-12 * size)
    export_and_compare(linalg.pinv, x, rtol=1e-11, atol=1e-11 / size)


def singular() -> torch.Tensor:
    """Matrices of ranks from 0 to 5, one of them with columns of very unlike lengths."""
    x = torch.stack([uniform(5, k, seed=k) @ uniform(k, 5, seed=9) for k in range(6)])
    return torch.cat([x, x[5:] * 10.0 ** -torch.arange(5), torch.eye(5)[None], torch.ones(1, 5, 5)])


def test_singular_matrices() -> None:
    export_and_compare(linalg.svdvals, singular())
    export_and_compare(lambda x: (linalg.matrix_rank(x), linalg.pinv(x)), singular().double())
    export_and_compare(
        lambda x: (linalg.eigvalsh(x), linalg.matrix_rank(x, hermitian=True)),
        *(singular() @ singular().mT,),
        rtol=1e-5,
        atol=1e-4,
    )


def hard(order: int) -> torch.Tensor:
    """Matrices whose columns stay unlike orthogonal ones for long: their spectra are wide."""
    places = torch.linspace(0, 1, order, dtype=torch.float64)
    triangle = torch.full((order, order), -0.9).triu(1) + torch.eye(order)
    return torch.stack(
        [
            torch.linalg.vander(places),
            triangle.double() * 0.4 ** torch.arange(order)[:, None],
            1 / (1 + torch.arange(order)[:, None] + torch.arange(order)).double(),
            torch.ones(order, order).double().triu(),
        ]
    )


@pytest.mark.parametrize("order", [17, 32])
def test_matrices_that_converge_slowly(order: int) -> None:
    x = hard(order)
    export_and_compare(linalg.svdvals, x, rtol=0, atol=1e-12)
    export_and_compare(linalg.eigvalsh, x + x.mT, rtol=0, atol=1e-12)


def test_tolerances_of_each_matrix() -> None:
    tolerance = torch.tensor([0.0, 2.0, 100.0])
    export_and_compare(
        lambda x, t: (
            linalg.pinv(x, rtol=t / 10),
            linalg.pinv(x, atol=t),
            linalg.pinv(x, atol=t, rtol=t / 10),
            linalg.matrix_rank(x, atol=t),
        ),
        *(uniform(3, 4, 3), tolerance),
        dynamic_axes={"x0": {0: "B"}, "x1": {0: "B"}},
        sizes=[{"B": 2}],
    )


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0, 2), (0, 3, 2)], ids=str)
def test_matrices_without_elements(shape: tuple[int, ...]) -> None:
    export_and_compare(
        lambda x: (*linalg.svd(x), linalg.svdvals(x), linalg.pinv(x), x.sum()), torch.zeros(shape)
    )


@pytest.mark.parametrize("function", [linalg.svd, linalg.eigh, torch.svd])
def test_vectors_are_refused(function: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(UnsupportedOpError, match=r"signs of its vectors are LAPACK's choice"):
        export(function, uniform(3, 3))


def test_large_matrices_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="more than 64 rows and columns"):
        export(linalg.svdvals, uniform(65, 70))
