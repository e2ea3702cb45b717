"""Orthogonal factors, whose signs are LAPACK's, for batches of any size."""

from __future__ import annotations

import pytest
import torch
from torch import linalg

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

AXES, SIZES = {"x0": {0: "B"}}, [{"B": 1}, {"B": 7}]


@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 3), (3, 5), (1, 3), (3, 1)], ids=str)
def test_factors(mode: str, shape: tuple[int, int]) -> None:
    def factors(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = linalg.qr(x, mode)
        return (found.R,) if mode == "r" else found

    export_and_compare(factors, uniform(4, *shape), dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 3, 0), (0, 2, 2)], ids=str)
def test_factors_of_nothing(mode: str, shape: tuple[int, ...]) -> None:
    export_and_compare(lambda x: (*linalg.qr(x, mode), x.sum()), torch.zeros(shape))


def test_columns_that_need_no_reflection() -> None:
    x = torch.stack([torch.eye(3), -torch.eye(3), torch.zeros(3, 3), torch.ones(3, 3).triu()])
    x = torch.cat([x, torch.tensor([[[0.0, 1, 2], [1, 0, 0], [0, 0, -3]]])])
    export_and_compare(lambda x: (*linalg.qr(x), *torch.geqrf(x)), x)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_factors_of_float64(size: float) -> None:
    x = uniform(2, 6, 4).double() * size
    export_and_compare(linalg.qr, x, rtol=1e-12, atol=1e-12 * size)
    export_and_compare(torch.geqrf, x, rtol=1e-12, atol=1e-12 * size)


def test_columns_of_unlike_lengths() -> None:
    x = uniform(2, 4, 4).double() * 10.0 ** torch.tensor([0.0, -170, 200, -290]).double()
    export_and_compare(
        lambda x: (linalg.qr(x).Q, linalg.qr(x).R / x.abs().amax(1, True)), x, atol=1e-12
    )


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 3), (3, 5), (3, 0)], ids=str)
def test_reflections(shape: tuple[int, int]) -> None:
    def reflections(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        packed, tau = torch.geqrf(x)
        least = min(shape)
        return packed, tau, linalg.householder_product(packed[..., :least], tau)

    export_and_compare(reflections, uniform(4, *shape), dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_product_with_reflections(left: bool, transpose: bool) -> None:
    x, tau = torch.geqrf(uniform(3, 5, 3))
    y = uniform(3, 5, 2, seed=1) if left else uniform(3, 2, 5, seed=1)
    axes = {name: {0: "B"} for name in ("x0", "x1", "x2")}
    export_and_compare(
        lambda x, tau, y: torch.ormqr(x, tau, y, left, transpose),
        *(x, tau, y),
        dynamic_axes=axes,
        sizes=SIZES,
    )


def test_a_symbolic_number_of_columns_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="number of columns"):
        export(linalg.qr, uniform(5, 3), dynamic_axes={"x0": {1: "S"}})
