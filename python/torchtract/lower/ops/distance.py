"""Distances between the rows of matrices."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import static_int
from torchtract.lower.ops.matmul import matmul
from torchtract.lower.ops.reduce import linalg_vector_norm
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

#: Number of rows from which PyTorch takes a product of matrices for Euclidean distances.
_MANY = 25


@lowers(aten.cdist.default)
def cdist(b: Builder, x1: Value, x2: Value, p: float = 2, compute_mode: int | None = None) -> Value:
    """cdist(Tensor x1, Tensor x2, float p=2., int? compute_mode=None) -> Tensor"""
    many = any(isinstance(x.shape[-2], int) and x.shape[-2] > _MANY for x in (x1, x2))
    if p == 2 and (compute_mode == 1 or (not compute_mode and many)):
        return _euclidean(b, x1, x2)
    apart = b.binary("sub", b.unsqueeze(x1, [x1.rank - 1]), b.unsqueeze(x2, [x2.rank - 2]))
    return linalg_vector_norm(b, x=apart, ord=p, dim=[-1])


def _euclidean(b: Builder, x1: Value, x2: Value) -> Value:
    """`|x|**2 - 2 * x @ y + |y|**2`, which needs no difference of each pair."""
    squares = [b.reduce("sum_reduce", b.binary("mul", x, x), [x.rank - 1], True) for x in (x1, x2)]
    columns, norms = (
        b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2]) for x in (x2, squares[1])
    )
    products = matmul(b, b.binary("mul", x1, b.scalar(-2, x1.dtype)), columns)
    total = b.binary("add", b.binary("add", products, squares[0]), norms)
    return b.emit("sqrt", b.binary("max", total, b.scalar(0, total.dtype)))


@lowers(aten.pdist.default)
def pdist(b: Builder, x: Value, p: float = 2) -> Value:
    """pdist(Tensor self, float p=2.) -> Tensor"""
    rows = static_int(x.shape[0], "the number of rows")
    if rows < 2:
        return b.full(0, x.dtype, b.result.shape)
    pairs = torch.triu_indices(rows, rows, 1)
    left, right = (
        b.emit("tract_core_gather", x, b.constant(i), axis=0, like=x.of(shape=[len(i), x.shape[1]]))
        for i in pairs
    )
    return linalg_vector_norm(b, x=b.binary("sub", left, right), ord=p, dim=[-1])
