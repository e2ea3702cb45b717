"""The exponential of matrices, for batches of any size and norms of any."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError


@pytest.mark.parametrize("order", [1, 2, 5])
def test_exponential(order: int) -> None:
    axes, sizes = {"x0": {0: "B"}}, [{"B": 1}, {"B": 7}]
    export_and_compare(torch.matrix_exp, uniform(4, order, order), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-9, 1.0, 30.0])
def test_exponential_of_float64(size: float) -> None:
    x = uniform(2, 3, 5, 5).double()
    x = (x - x.mT) * size  # rotations, which stay of one size
    export_and_compare(torch.linalg.matrix_exp, x, rtol=1e-10, atol=1e-12)


def test_exponential_of_half_precision_is_rounded_once() -> None:
    x = uniform(2, 3, 3).half()
    given = export(torch.matrix_exp, x).compile().run({"x0": x})["output"]
    exact = torch.matrix_exp(x.double()).half().numpy()
    np.testing.assert_allclose(given, exact, rtol=1e-3, atol=1e-6)


def test_matrices_of_unlike_norms() -> None:
    x = torch.zeros(5, 2, 2)
    x[0, 0, 1] = 1e30  # a shear, exactly itself and one
    x[1] = -torch.eye(2) * 1e20
    x[2] = torch.tensor([[0.0, 50.0], [-50.0, 0.0]])
    x[3] = torch.nan
    export_and_compare(torch.matrix_exp, x)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3)], ids=str)
def test_matrices_without_elements(shape: tuple[int, ...]) -> None:
    export_and_compare(lambda x: (torch.matrix_exp(x), x.sum()), torch.zeros(shape))


def test_large_matrices_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="more than 64 rows"):
        export(torch.matrix_exp, uniform(65, 65))
