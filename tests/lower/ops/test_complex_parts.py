"""Operators that are the same for both parts, products of parts, questions and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

Function = Callable[..., Any]
AXES = {"x0": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 1}, {"B": 3, "S": 7}]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.view_as_complex(uniform(*shape, 2, seed=seed))


INDEX = torch.tensor([1, 0, 1])

#: What is done to complex numbers [B, S, 4].
MOVED: dict[str, Function] = {
    "order": lambda z: (z.mT, z.swapaxes(0, 2), z.movedim(0, 2), z.flip(2), z.roll(1, 2), z.mH),
    "shape": lambda z: (z.ravel(), z.unsqueeze(1), z.tile(1, 2, 1), torch.atleast_3d(z[0, 0])),
    "repeat": lambda z: (z.repeat_interleave(2, 2), z.expand(2, *z.shape), z.diff(dim=2)),
    "padded": lambda z: (F.pad(z, (1, 2), value=2.0), F.pad(z, (1, 1), "circular")),
    "reflected": lambda z: (F.pad(z, (2, 1), "reflect"), F.pad(z, (2, 1), "replicate")),
    "filled": lambda z: (z.masked_fill(z.real > 0, 1 + 2j), torch.where(z.imag > 0, z, 2.0)),
    "chosen": lambda z: (z.index_select(2, INDEX), z[:, :, INDEX], z.take(INDEX)),
    "scattered": lambda z: (
        z.index_add(2, INDEX, z[:, :, :3]),
        z.index_copy(2, INDEX[:2], z[:, :, :2] * 2),
        z.index_fill(2, INDEX, 3 - 1j),
        z.select_scatter(z[:, :, 0].conj(), 2, 1),
        z.index_put((torch.tensor([0, 0]), torch.tensor([0])), z[0, 0] * 2, accumulate=True),
        z.put(INDEX, z[0, 0, :3].conj()),
        z.masked_scatter(z.real > 0, z.conj()),
    ),
    "in_memory": lambda z: (
        z.clone().as_strided((2, 2), (1, 1), 1),
        z.clone().as_strided_scatter(z[0, 0, :2], (2,), (1,)),
        torch.linspace(1j, 2 - 3j, 5),
    ),
    "constants": lambda z: (
        torch.zeros_like(z),
        torch.ones_like(z),
        torch.full_like(z, 1 - 2j),
        torch.eye(3, dtype=torch.complex64),
        z.new_full((2,), 1j),
    ),
    "real_constants": lambda z: (
        torch.ones_like(z, dtype=torch.float64),
        z.new_ones((2, 3), dtype=torch.int64),
        torch.full_like(z, 3, dtype=torch.float32),
    ),
    "with_integers": lambda z: (
        torch.cat([z, torch.arange(4).expand_as(z)], 2),
        torch.where(z.real > 0, z, torch.tensor(3)),
    ),
    "triangle": lambda z: (z.mT.tril(), torch.diag_embed(z), z.diagonal(dim1=1, dim2=2)),
    "grids": lambda z: torch.meshgrid(z[0, 0], z[0, 0].conj(), indexing="ij"),
    "joined": lambda z: (torch.stack([z, z]), *z.chunk(2, 2), *z.tensor_split(3, 2)),
}

QUESTIONS: dict[str, Function] = {
    "equal": lambda z: (z == z.flip(2), z != z.flip(2), z == 1 + 1j, z.real != z),
    "kinds": lambda z: ((z / z.imag.round()).isnan(), (z / 0).isinf(), (z / 0).isfinite()),
    "logic": lambda z: (z.logical_not(), z.logical_and(z.real > 0), z.bool()),
    "any": lambda z: (z.any(), z.all(2), z.count_nonzero(2)),
    "places": lambda z: (z[z.real > 0], (z * (z.real > 0)).nonzero(), z.nonzero_static(size=3)),
    "close": lambda z: torch.isclose(z, z + 1e-9),
}

REDUCTIONS: dict[str, Function] = {
    "sums": lambda z: (z.sum(), z.mean((0, 1)), z.cumsum(2), z.sum(2, dtype=torch.complex128)),
    "products": lambda z: (z.prod(2), z.prod(2, keepdim=True), z[:, :, :3].prod(2), z.cumprod(2)),
    "spread": lambda z: (z.var(2), z.std(2, correction=0), *torch.var_mean(z, 2)),
    "norms": lambda z: (torch.linalg.vector_norm(z), z.norm(dim=2), F.normalize(z, dim=2)),
    "logarithms": lambda z: (torch.logsumexp(z, 2), torch.logaddexp(z, z.flip(2))),
}


@pytest.mark.parametrize("name", [*MOVED, *QUESTIONS, *REDUCTIONS])
def test_function(name: str) -> None:
    function = (MOVED | QUESTIONS | REDUCTIONS)[name]
    export_and_compare(function, numbers(2, 5, 4), dynamic_axes=AXES, sizes=SIZES)


WEIGHT, BIAS = numbers(3, 4, seed=1), numbers(3, seed=2)

PRODUCTS: dict[str, Function] = {
    "matmul": lambda z: (z @ WEIGHT.mT, z @ z.mH, torch.bmm(z, z.mT)),
    "linear": lambda z: (F.linear(z, WEIGHT, BIAS), F.linear(z, WEIGHT)),
    "vectors": lambda z: (torch.vdot(z[0, 0], z[0, 0]), torch.outer(z[0, 0], z[0, 0])),
    "einsum": lambda z: torch.einsum("bsi,oi->bso", z, WEIGHT),
    "tensordot": lambda z: torch.tensordot(z, WEIGHT.mT, 1),
    "added": lambda z: (torch.addmm(BIAS, z[0], WEIGHT.mT), torch.baddbmm(z @ z.mT, z, z.mT)),
    "summed": lambda z: torch.addbmm(z[0] @ z[0].mT, z, z.mT, beta=1j, alpha=2j),
    "conv": lambda z: F.conv1d(z.mT, WEIGHT[:, :, None], BIAS),
    "conv_transpose": lambda z: F.conv_transpose1d(z.mT, WEIGHT.mT[:, :, None], BIAS),
    "interpolated": lambda z: (torch.lerp(z, z.flip(2), 0.25), torch.addcmul(z, z, z, value=2j)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    export_and_compare(PRODUCTS[name], numbers(2, 5, 4), dynamic_axes=AXES, sizes=SIZES, rtol=1e-3)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_inverses_and_solutions(order: int) -> None:
    matrix = numbers(2, order, order) + 4 * torch.eye(order)
    export_and_compare(
        lambda a, b, v: (torch.linalg.inv(a), torch.linalg.solve(a, b), torch.linalg.solve(a, v)),
        *(matrix, numbers(2, order, 2), numbers(2, order)),
    )


@pytest.mark.parametrize("order", [0, 1, 3])
def test_exponentials(order: int) -> None:
    export_and_compare(torch.linalg.matrix_exp, numbers(2, order, order) * 3, rtol=1e-3)


def test_inverses_of_tensors() -> None:
    x = (numbers(6, 6) + 4 * torch.eye(6)).reshape(6, 3, 2)
    export_and_compare(lambda x: torch.linalg.tensorinv(x, 1), x)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 4), (4, 2), (0, 3)], ids=str)
def test_singular_values(shape: tuple[int, int]) -> None:
    export_and_compare(
        lambda x: (torch.linalg.svdvals(x), torch.linalg.svd(x).S, x[0].norm("nuc")),
        *(numbers(3, *shape),),
        dynamic_axes={"x0": {0: "B"}},
    )


def test_vectors_of_singular_values_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="the signs of its vectors"):
        export(torch.linalg.svd, numbers(3, 3))


@pytest.mark.parametrize("order", [0, 1, 4])
def test_eigenvalues(order: int) -> None:
    export_and_compare(
        lambda x: (torch.linalg.eigvalsh(x), torch.linalg.eigvalsh(x, UPLO="U")),
        *(numbers(3, order, order),),
        dynamic_axes={"x0": {0: "B"}},
    )


def test_empty_tensors() -> None:
    export_and_compare(lambda z: (z.sum(1), z.prod(1), z * 2, z @ z.mT), numbers(2, 0))


REFUSED: dict[str, tuple[Function, str]] = {
    "large": (lambda z: torch.linalg.inv(z[:, :1, :1].expand(-1, 17, 17)), "more than 16 rows"),
    "sort": (torch.linalg.eigvals, "complex numbers"),
    "product": (lambda z: z.prod(0), "complex factors"),
    "vectors": (lambda z: torch.linalg.eigh(z).eigenvectors, "LAPACK's choice"),
    "determinant": (lambda z: torch.linalg.det(z[0, :, :4]), "complex numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(UnsupportedOpError, match=reason):
        export(function, numbers(2, 4, 4), dynamic_axes={"x0": {0: "B"}})
