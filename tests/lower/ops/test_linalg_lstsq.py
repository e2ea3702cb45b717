"""Solutions of least squares, with each of LAPACK's drivers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import linalg

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError


def solutions(driver: str | None, shape: tuple[int, int]) -> Any:
    """A function that gives what a driver gives, but for residuals of unknown shape."""

    def function(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = linalg.lstsq(x, y, driver=driver)
        known = shape[0] <= shape[1] or driver in ("gels", "gelsy", None)
        residuals = found.residuals if known else found.rank
        return found.solution, residuals, found.rank, found.singular_values, x.sum()

    return function


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelss", "gelsd"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 3), (3, 5)], ids=str)
def test_solution(driver: str | None, shape: tuple[int, int]) -> None:
    export_and_compare(
        solutions(driver, shape),
        *(uniform(4, *shape), uniform(4, shape[0], 2, seed=1)),
        dynamic_axes={"x0": {0: "B"}, "x1": {0: "B"}},
        sizes=[{"B": 1}, {"B": 7}],
        atol=1e-4,
    )


def test_vectors() -> None:
    x, y = uniform(3, 5, 2), uniform(3, 5, seed=1)
    export_and_compare(
        lambda x, y: (linalg.lstsq(x, y).solution, *linalg.lstsq(x[0], y[0], driver="gels")), x, y
    )


@pytest.mark.parametrize("driver", ["gelsy", "gelss", "gelsd"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)], ids=str)
def test_matrices_of_low_rank(driver: str, shape: tuple[int, int]) -> None:
    rows, columns = shape
    x = uniform(2, rows, 2).double() @ uniform(2, 2, columns, seed=1).double()
    y = uniform(1, rows, 2, seed=2).double()
    export_and_compare(
        lambda x, y: linalg.lstsq(x, y, driver=driver)[::2], x, y, rtol=1e-9, atol=1e-9
    )


def test_a_tolerance() -> None:
    x, y = uniform(5, 4), uniform(5, 2, seed=1)
    export_and_compare(lambda x, y: linalg.lstsq(x, y, 0.5, driver="gelsd")[::2], x, y)
    with pytest.raises(UnsupportedOpError, match="pivots of its own"):
        export(lambda x, y: linalg.lstsq(x, y, 0.5).solution, x, y)


def test_residuals_of_unknown_shape_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="a shape that depends on the ranks"):
        export(lambda x: linalg.lstsq(x, x, driver="gelsd"), uniform(5, 3))
