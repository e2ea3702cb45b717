"""Products of matrices and sums over axes give PyTorch's numbers, at all ranks and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform

Function = Callable[..., Any]
BATCH: dict[str, Any] = {"dynamic_axes": {"x0": {0: "B"}}, "sizes": [{"B": 1}, {"B": 5}]}

#: Shapes of the operands of a matrix product.
SHAPES = [
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (1, 4, 5)),
    ((6, 2, 3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (1, 2, 4, 5)),
    ((2, 1, 1), (2, 1, 1)),
    ((1, 1, 1, 4), (1, 4, 1)),
    ((3, 1), (1, 5)),
    ((3, 0), (0, 5)),
    ((0, 4), (4, 5)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    export_and_compare(torch.matmul, uniform(*left), uniform(*right, seed=1))


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_matmul_of_symbolic_sizes(rank: int) -> None:
    x, y = uniform(*(2, 3, 4, 5)[-rank:]), uniform(*(2, 3, 5, 6)[-rank:], seed=1)
    rows = {rank - 2: "M", rank - 1: "K"}
    columns = {rank - 2: "K", rank - 1: "N"}
    if rank == 4:
        rows[0] = columns[0] = "B"
    names = ["M", "K", "N"] + ["B"] * (rank == 4)
    sizes = [{n: i + 1 for i, n in enumerate(names)}, {n: 7 - i for i, n in enumerate(names)}]
    axes = {"x0": rows, "x1": columns}
    export_and_compare(torch.matmul, x, y, dynamic_axes=axes, sizes=sizes)


#: A product and the shapes of its operands.
PRODUCTS: dict[str, tuple[Function, list[tuple[int, ...]]]] = {
    "mm": (torch.mm, [(3, 4), (4, 5)]),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    "mv": (torch.mv, [(3, 4), (4,)]),
    "dot": (torch.dot, [(4,), (4,)]),
    "vdot": (torch.vdot, [(4,), (4,)]),
    "inner": (torch.inner, [(2, 3, 4), (5, 4)]),
    "outer": (torch.outer, [(3,), (4,)]),
    "addmm": (torch.addmm, [(5,), (3, 4), (4, 5)]),
    "addmm scaled": (
        lambda x, a, b: torch.addmm(x, a, b, beta=0.5, alpha=-2.0),
        [(3, 5), (3, 4), (4, 5)],
    ),
    "addmm that forgets": (
        lambda x, a, b: torch.addmm(x / 0, a, b, beta=0, alpha=3),
        [(3, 5), (3, 4), (4, 5)],
    ),
    "baddbmm": (
        lambda x, a, b: torch.baddbmm(x, a, b, beta=0.5, alpha=2),
        [(2, 3, 5), (2, 3, 4), (2, 4, 5)],
    ),
    "addbmm": (
        lambda x, a, b: torch.addbmm(x, a, b, beta=0.5, alpha=2),
        [(3, 5), (2, 3, 4), (2, 4, 5)],
    ),
    "addmv": (lambda x, a, b: torch.addmv(x, a, b, beta=0.5), [(3,), (3, 4), (4,)]),
    "addr": (torch.addr, [(3, 4), (3,), (4,)]),
    "linear": (nn.functional.linear, [(2, 3, 4), (5, 4), (5,)]),
    "linear without bias": (nn.functional.linear, [(3, 4), (5, 4)]),
    "linear of a vector": (nn.functional.linear, [(4,), (5, 4), (5,)]),
    "linear with one output": (nn.functional.linear, [(2, 3, 4), (1, 4), (1,)]),
    "linear with one input": (nn.functional.linear, [(2, 3, 1), (5, 1), (5,)]),
    "linear by a vector": (nn.functional.linear, [(2, 3, 4), (4,)]),
    "linear of rank 5": (nn.functional.linear, [(2, 3, 2, 2, 4), (5, 4), (5,)]),
    "bilinear": (nn.functional.bilinear, [(2, 3, 4), (2, 3, 5), (6, 4, 5), (6,)]),
    "bilinear without bias": (nn.functional.bilinear, [(3, 4), (3, 5), (6, 4, 5)]),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 5)]),
    "tensordot of axes": (
        lambda a, b: torch.tensordot(a, b, ([0, -1], [2, 1])),
        [(2, 3, 4), (5, 4, 2)],
    ),
    "tensordot of none": (lambda a, b: torch.tensordot(a, b, 0), [(2, 3), (4,)]),
    "multi_dot": (lambda a, b, c: torch.linalg.multi_dot([a, b, c]), [(2, 3), (3, 4), (4, 5)]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product(name: str) -> None:
    function, shapes = PRODUCTS[name]
    export_and_compare(function, *(uniform(*s, seed=i) for i, s in enumerate(shapes)))


@pytest.mark.parametrize("bias", [True, False])
def test_linear_module_of_symbolic_sizes(bias: bool) -> None:
    axes = {"input": {0: "B", 1: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 5, "S": 9}]
    x = uniform(2, 3, 6)
    export_and_compare(nn.Linear(6, 4, bias=bias), x, dynamic_axes=axes, sizes=sizes)


#: What stands around a linear layer from 6 to 4 units, and whether anything of it is left.
AROUND: dict[str, tuple[Function, Function, bool]] = {
    "batch first, and back": (lambda x: x.transpose(0, 1), lambda y: y.transpose(0, 1), False),
    "flattened, and back": (lambda x: x.reshape(-1, 6), lambda y: y.view(-1, 3, 4), False),
    "both, and back": (
        lambda x: x.transpose(0, 1).reshape(-1, 6),
        lambda y: y.view(3, -1, 4).transpose(0, 1),
        False,
    ),
    "an axis more": (lambda x: x.unsqueeze(1), lambda y: y.squeeze(1), False),
    "only before": (lambda x: x.transpose(0, 1), lambda y: y, True),
    "another order after": (lambda x: x.transpose(0, 1), lambda y: y.permute(2, 1, 0), True),
}


@pytest.mark.parametrize("name", AROUND)
def test_rearrangements_around_a_linear_layer_meet(name: str) -> None:
    before, after, left = AROUND[name]
    weight, bias = uniform(4, 6, seed=1), uniform(4, seed=2)
    model = export_and_compare(
        lambda x: after(nn.functional.linear(before(x), weight, bias)), uniform(2, 3, 6), **BATCH
    )
    moves = {"MoveAxis", "Reshape", "IntoShape"}
    assert any(n.op in moves for n in model.nodes()) == left


#: An equation, and the shapes of its operands.
EQUATIONS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ba,ca", [(2, 3), (4, 3)]),
    ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("b h i d, b h j d -> b h i j", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("i,j->ij", [(3,), (4,)]),
    ("i,i->", [(3,), (3,)]),
    ("i,i->i", [(3,), (3,)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("ij", [(2, 3)]),
    ("ijk,k->ij", [(2, 3, 4), (4,)]),
    ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)]),
    ("ij,kl->", [(2, 3), (4, 5)]),
    ("ij,k->i", [(2, 3), (4,)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("ij,jk,jl->l", [(2, 3), (3, 4), (3, 5)]),
    ("...ij,...jk->...ik", [(2, 6, 3, 4), (6, 4, 5)]),
    ("...ij,...jk->...ik", [(2, 6, 3, 4), (1, 1, 4, 5)]),
    ("i...,i...", [(2, 3), (2, 3)]),
    ("...i,i", [(2, 3, 4), (4,)]),
    ("i...->...", [(2, 3, 4)]),
    ("b...k,nk->...n", [(2, 3, 4), (5, 4)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij,jk->ik", [(1, 3), (1, 4)]),
    ("bij,bjk->bik", [(1, 3, 4), (2, 4, 5)]),
    ("Ab,bC->AC", [(2, 3), (3, 4)]),
    ("Ba,aC", [(2, 3), (3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=[f"{e} {s}" for e, s in EQUATIONS])
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    operands = [uniform(*s, seed=i) for i, s in enumerate(shapes)]
    export_and_compare(lambda *x: torch.einsum(equation, *x), *operands)


def test_einsum_of_symbolic_sizes() -> None:
    axes = {"x0": {0: "B", 1: "S"}, "x1": {0: "B", 1: "T"}}
    sizes = [{"B": 1, "S": 2, "T": 1}, {"B": 3, "S": 1, "T": 7}]
    x, y = uniform(2, 4, 6), uniform(2, 5, 6, seed=1)
    export_and_compare(
        lambda x, y: torch.einsum("bid,bjd->bij", x, y), x, y, dynamic_axes=axes, sizes=sizes
    )


@pytest.mark.parametrize("equation", ["ii->i", "ii", "iij->ji", "iii->i", "iji,jk->ik"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_einsum_of_diagonals(equation: str, dtype: torch.dtype) -> None:
    terms = equation.partition("->")[0].split(",")
    operands = [(uniform(*[3] * len(term), seed=i) * 9).to(dtype) for i, term in enumerate(terms)]
    export_and_compare(lambda *x: torch.einsum(equation, *x), *operands)


def test_einsum_of_a_diagonal_of_symbolic_size() -> None:
    export_and_compare(
        lambda x: (torch.einsum("bii->bi", x), torch.einsum("bii,bij->bj", x, x)),
        uniform(2, 3, 3),
        dynamic_axes={"x0": {0: "B", 1: "S", 2: "S"}},
        sizes=[{"B": 1, "S": 1}, {"B": 3, "S": 5}],
    )


#: Products of tensors that are others repeated, whose repetition tract loses sight of.
REPEATED: dict[str, Function] = {
    "rows": lambda x, w: x[:1, 0].expand(7, 4) @ w,
    "symbolic rows": lambda x, w: x[:1, 0].expand(x.shape[0], 4) @ w,
    "batch": lambda x, w: x[:1].expand(x.shape[0], 3, 4) @ w,
    "repeated batch": lambda x, w: x[:1].repeat(x.shape[0], 1, 1) @ w,
    "batch, moved": lambda x, w: x[:1].expand(x.shape[0], 3, 4).transpose(0, 1) @ w,
    "batch, merged": lambda x, w: x[:1].expand(x.shape[0], 3, 4).reshape(-1, 4) @ w,
    "batch, cut": lambda x, w: x[:1].expand(x.shape[0], 3, 4)[:, 1:] @ w,
    "one, cut": lambda x, w: x[:1, :1, :1].expand(x.shape[0], 3, 4)[:1, :1, :1] @ w[:1],
    "summed axis": lambda x, w: x[..., :1].expand(x.shape[0], 3, 4) @ w,
    "both": lambda x, w: x[:1].expand_as(x) @ x[:1].expand_as(x).mT * w[0, 0],
    "filled": lambda x, w: x.new_full((x.shape[0], 4), 0.5) @ w,
    "linear": lambda x, w: nn.functional.linear(x[:1].expand_as(x), w.T),
}


@pytest.mark.parametrize("name", REPEATED)
def test_product_of_a_repeated_tensor(name: str) -> None:
    export_and_compare(REPEATED[name], uniform(2, 3, 4), uniform(4, 5, seed=1), **BATCH)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.uint8])
def test_product_of_integers(dtype: torch.dtype) -> None:
    x = integers(2, 3, 4, low=0, high=99, dtype=dtype)
    y = integers(2, 4, 5, low=0, high=99, dtype=dtype, seed=1)
    equations = ["bij,bjk->ki", "bij,bkl->jk"]
    export_and_compare(lambda x, y: (x @ y, *(torch.einsum(e, x, y) for e in equations)), x, y)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.uint8])
def test_products_of_integers_overflow_as_in_pytorch(dtype: torch.dtype) -> None:
    limits = torch.iinfo(dtype)
    x, y, z = (
        integers(n, n + 1, low=limits.min, high=limits.max - 1, dtype=dtype) for n in (3, 4, 5)
    )
    export_and_compare(
        lambda x, y, z: (
            *(x @ y, x[0] @ y, torch.addmm(z[:3, :5], x, y, beta=3, alpha=2)),
            *(torch.einsum("ij->i", x), torch.einsum("ij,jk,kl->li", x, y, z)),
        ),
        *(x, y, z),
    )


def test_product_in_other_precisions() -> None:
    x, y = uniform(3, 64), uniform(64, 5, seed=1)
    export_and_compare(torch.matmul, x.double(), y.double(), rtol=1e-12, atol=1e-12)
    export_and_compare(torch.matmul, x.half(), y.half(), **HALF)


def test_einsum_of_truths() -> None:
    x = uniform(3, 4) > 0
    export_and_compare(lambda x: (torch.einsum("ij->i", x), torch.einsum("ij->ji", x)), x)


def test_products_propagate_nan_and_infinity() -> None:
    x = torch.tensor([[1.0, float("nan")], [float("inf"), 2.0], [3.0, 4.0]])
    export_and_compare(torch.matmul, x, uniform(2, 3))


@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0.6, 0.2), (0, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_addr(beta: float, alpha: float, dtype: torch.dtype) -> None:
    x, column, row = uniform(4, 3).to(dtype), uniform(4).to(dtype), uniform(3, seed=1).to(dtype)
    axes = {"x0": {0: "S"}, "x1": {0: "S"}}
    rtol = 1e-6 if dtype == torch.float32 else 0
    export_and_compare(
        lambda x, c, r: torch.addr(x, c, r, beta=beta, alpha=alpha),
        *(x, column, row),
        dynamic_axes=axes,
        sizes=[{"S": 1}],
        rtol=rtol,
        atol=0,
    )


def test_nan_behind_a_factor_of_zero() -> None:
    nan = torch.full((3,), torch.nan)
    export_and_compare(lambda x, c, r: torch.addr(x, c, r, beta=0), nan, uniform(3), uniform(3))
    export_and_compare(lambda x, c, r: torch.addr(x, c, r, alpha=0), uniform(3), nan, uniform(3))
    x = torch.full((2, 2), torch.nan)
    export_and_compare(lambda x, y: torch.addmm(x, y, y, beta=0), x, uniform(2, 2))


def test_truth_values() -> None:
    x, y = torch.tensor([True, False, True]), torch.tensor([True, True, False])
    export_and_compare(torch.outer, x, y)
    export_and_compare(torch.addr, torch.eye(3).bool(), x, y)


def test_half_precision_is_rounded_where_pytorch_rounds() -> None:
    x, y, z = (uniform(*s, low=-9, high=9).half() for s in ((5, 6), (3, 5, 8), (3, 8, 6)))
    axes = {"x0": {0: "S"}, "x1": {1: "S"}}
    at: dict[str, Any] = {"dynamic_axes": axes, "sizes": [{"S": 1}], "rtol": 1e-3, "atol": 1e-3}
    export_and_compare(lambda *t: torch.addbmm(*t, beta=0.5, alpha=0.25), x, y, z, **at)
    export_and_compare(lambda *t: torch.baddbmm(*t, beta=0.5, alpha=0.25), x, y, z, **at)
