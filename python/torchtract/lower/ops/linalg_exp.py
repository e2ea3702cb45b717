"""The exponential of matrices of fixed size: a series for a small part of them, then squares.

exp(A) = exp(A / 2^s)^(2^s), with s so large that the norm of A / 2^s is no more than 1.
"""

from __future__ import annotations

import math

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.dtypes import datum_type
from torchtract.lower.ops.linalg_matrices import LARGEST_IN_LOOPS, number, order_of, unit, wide
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

#: Terms of the series. What is left out is below float64's rounding: 1 / 19! < 2^-56.
_TERMS = 18


@lowers(aten.linalg_matrix_exp.default)
def linalg_matrix_exp(b: Builder, x: Value) -> Value:
    """linalg_matrix_exp(Tensor self) -> Tensor"""
    order = order_of(x, LARGEST_IN_LOOPS)
    if 0 in x.shape:
        return x
    matrix, one = wide(b, x), unit(b, order, x)
    # No norm is halved more often before it is 1 than the largest number's exponent says.
    _, exponent = math.frexp(torch.finfo(x.dtype).max)
    halved, scale = _halvings(b, matrix, exponent)
    small = b.binary("mul", matrix, scale)
    total = one
    for k in range(_TERMS, 0, -1):
        term = b.einsum(_product(x.rank), small, total)
        total = b.binary("add", one, b.binary("mul", term, number(b, 1 / k)))
    return b.cast(_squared(b, total, halved), x.dtype)


def _halvings(b: Builder, x: Value, count: int) -> tuple[Value, Value]:
    """Which powers of two the norms are larger than, [..., 1, count], and 2^-s, [..., 1, 1]."""
    sums = b.reduce("sum_reduce", b.emit("abs", x), [x.rank - 2], keepdim=True)
    norm = b.reduce("max_reduce", sums, [x.rank - 1], keepdim=True)
    powers = 2.0 ** torch.arange(count, dtype=torch.float64)
    larger = b.binary("gt", norm, b.constant(powers), torch.bool)
    scales = b.where(larger, b.constant(0.5 / powers), number(b, 1))
    return larger, b.reduce("min_reduce", scales, [x.rank - 1], keepdim=True)


def _product(rank: int) -> str:
    batch = "abcdefgh"[: rank - 2]
    return f"{batch}ij,{batch}jk->{batch}ik"


def _squared(b: Builder, x: Value, halved: Value) -> Value:
    """The matrices, squared once for each halving."""
    acc = datum_type(x.dtype)
    squared = f"tract_core_einsum([x, x], expr = '{_product(x.rank)}', acc = '{acc}')"
    parameters = "x: tensor<scalar>, halved: tensor<logical>"
    body = f"x_next = select(halved, {squared}, x);"
    definition = f"({parameters}) -> (x_next: tensor<scalar>)\n{{\n  {body}\n}}"
    return b.emit(
        "tract_core_scan",
        like=x,
        outputs_as_list=True,
        body=b.fragment("square", definition),
        scan=[("halved", halved, x.rank - 1, 1)],
        full=[],
        state=[("x", x, "x_next")],
        output=[("x_next", "last", 0, 1)],
        reset_every_turn=1,
    )
