"""Cholesky's factors, and systems with triangles, for matrices of fixed size."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.linalg_matrices import (
    batched,
    column,
    first_true,
    number,
    order_of,
    row,
    turned,
    unit,
    wide,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten


@lowers(aten.linalg_cholesky.default, aten.cholesky.default)
def cholesky(b: Builder, x: Value, upper: bool = False) -> Value:
    """linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor"""
    order = order_of(x)
    return x if order == 0 else _factor(b, x, order, upper)[0]


@lowers(aten.linalg_cholesky_ex.default)
def linalg_cholesky_ex(
    b: Builder, x: Value, upper: bool = False, check_errors: bool = False
) -> tuple[Value, Value]:
    """linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> ..."""
    order, info = order_of(x), b.results[1]
    if order == 0:
        return x, b.full(0, info.dtype, info.shape)
    factor, pivots = _factor(b, x, order, upper)
    negative = [b.emit("not", b.binary("gt", p, number(b, 0), torch.bool)) for p in pivots]
    return factor, first_true(b, negative, info)


def _factor(b: Builder, x: Value, order: int, upper: bool) -> tuple[Value, list[Value]]:
    """Cholesky's factor, and the squares of its diagonal, [..., 1, 1]."""
    rest, columns, pivots = wide(b, x), [], []
    rest = turned(b, rest) if upper else rest  # PyTorch reads one triangle
    for k in range(order):
        found = column(b, rest, k)
        pivots.append(row(b, found, k))
        found = b.binary("div", found, b.emit("sqrt", pivots[-1]))
        above = b.constant(torch.arange(order)[:, None] < k)
        found = b.where(above, number(b, 0), found)
        columns.append(found)
        rest = b.binary("sub", rest, b.binary("mul", found, turned(b, found)))
    factor = b.concat(columns, x.rank - 1)
    return b.cast(turned(b, factor) if upper else factor, b.result.dtype), pivots


@lowers(aten.cholesky_solve.default)
def cholesky_solve(b: Builder, x: Value, input2: Value, upper: bool = False) -> Value:
    """cholesky_solve(Tensor self, Tensor input2, bool upper=False) -> Tensor"""
    if 0 in b.result.shape:
        return b.full(0, b.result.dtype, b.result.shape)
    right, factor = batched(b, wide(b, x), wide(b, input2))
    return b.cast(_twice_substituted(b, factor, right, upper), b.result.dtype)


@lowers(aten.cholesky_inverse.default)
def cholesky_inverse(b: Builder, x: Value, upper: bool = False) -> Value:
    """cholesky_inverse(Tensor self, bool upper=False) -> Tensor"""
    if order_of(x) == 0:
        return x
    factor = wide(b, x)
    right = unit(b, order_of(x), factor)
    return b.cast(_twice_substituted(b, factor, right, upper), b.result.dtype)


def _twice_substituted(b: Builder, factor: Value, right: Value, upper: bool) -> Value:
    lower = turned(b, factor) if upper else factor
    half = substituted(b, lower, right, upper=False)
    return substituted(b, turned(b, lower), half, upper=True)


# Triangles.


def substituted(
    b: Builder, matrix: Value, right: Value, upper: bool, unitriangular: bool = False
) -> Value:
    """The solution of a system of which one triangle is read, all in float64, of one batch."""
    order = order_of(matrix)
    rows: dict[int, Value] = {}
    for k in reversed(range(order)) if upper else range(order):
        known, factors = row(b, right, k), row(b, matrix, k)
        for j, earlier in rows.items():
            known = b.binary("sub", known, b.binary("mul", column(b, factors, j), earlier))
        rows[k] = known if unitriangular else b.binary("div", known, column(b, factors, k))
    return b.concat([rows[k] for k in range(order)], right.rank - 2)


@lowers(aten.linalg_solve_triangular.default)
def solve_triangular(
    b: Builder,
    x: Value,
    B: Value,  # noqa: N803
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Value:
    """linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, ...)"""
    if 0 in b.result.shape:
        return b.full(0, b.result.dtype, b.result.shape)
    matrix, right = batched(b, wide(b, x), wide(b, B))
    if not left:
        matrix, right, upper = turned(b, matrix), turned(b, right), not upper
    solution = substituted(b, matrix, right, upper, unitriangular)
    return b.cast(solution if left else turned(b, solution), b.result.dtype)


@lowers(aten.triangular_solve.default)
def triangular_solve(
    b: Builder,
    x: Value,
    A: Value,  # noqa: N803
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> tuple[Value, Value]:
    """triangular_solve(Tensor self, Tensor A, bool upper=True, bool transpose=False, ...)"""
    solution, clone = b.results
    copy = b.broadcast(A, clone.shape)
    if 0 in solution.shape:
        return b.full(0, solution.dtype, solution.shape), copy
    right, matrix = batched(b, wide(b, x), wide(b, A))
    if transpose:
        matrix, upper = turned(b, matrix), not upper
    return b.cast(substituted(b, matrix, right, upper, unitriangular), solution.dtype), copy
