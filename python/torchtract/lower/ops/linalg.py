"""Determinants, inverses, solutions and factors of matrices of fixed size.

Each column is one round of operations on the whole batch, in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Value, broadcast_shapes

aten = torch.ops.aten

#: Columns beyond which a file of so many operations would be no help.
_LARGEST = 32


def _order(x: Value) -> int:
    """The number of rows of square matrices."""
    order = static_int(x.shape[-1], "the number of rows")
    require(order <= _LARGEST, f"matrices of more than {_LARGEST} rows have no lowering")
    return order


def _wide(b: Builder, x: Value) -> Value:
    return b.cast(x, torch.float64)


def _number(b: Builder, number: float) -> Value:
    return b.scalar(number, torch.float64)


def _column(b: Builder, x: Value, k: int) -> Value:
    return b.slice(x, x.rank - 1, k, k + 1)


def _row(b: Builder, x: Value, k: int) -> Value:
    return b.slice(x, x.rank - 2, k, k + 1)


def _is_row(b: Builder, k: int, order: int) -> Value:
    """Which of the rows is row k, [order, 1]."""
    return b.constant(torch.arange(order)[:, None] == k)


# Elimination.


@dataclass(frozen=True)
class _Elimination:
    """What Gauss and Jordan's elimination gives.

    Attributes:
        matrix: what `[A, B]` has become, of which the first columns are the unit matrix.
        pivots: what each row was divided by, [..., 1, 1].
        swapped: whether a row had to be moved for each of them, [..., 1, 1].
    """

    matrix: Value
    pivots: list[Value]
    swapped: list[Value]


def _eliminated(b: Builder, x: Value, order: int, singular: bool = False) -> _Elimination:
    """Rows divided and subtracted, with the largest pivot of each column.

    Args:
        x: matrices [..., order, columns].
        order: how many columns become those of the unit matrix.
        singular: whether to go on behind a pivot of zero, as for a determinant.
    """
    pivots, swapped = [], []
    for k in range(order):
        below = b.slice(b.emit("abs", _column(b, x, k)), x.rank - 2, k, order)
        like = below.of(dtype=torch.int64, shape=[*below.shape[:-2], 1, 1])
        chosen = b.emit("argmax_reduce", below, axes=[x.rank - 2], like=like)
        chosen = b.binary("add", chosen, b.scalar(k, torch.int64))
        rows = b.constant(torch.arange(order)[:, None])
        is_chosen = b.binary("eq", rows, chosen, torch.bool)
        pivot_row, kth = _chosen_row(b, x, chosen), _row(b, x, k)
        pivot = _column(b, pivot_row, k)
        pivots.append(pivot)
        swapped.append(b.binary("ne", chosen, b.scalar(k, torch.int64), torch.bool))
        x = b.where(is_chosen, kth, x)
        if singular:
            zero = b.binary("eq", pivot, _number(b, 0), torch.bool)
            pivot = b.where(zero, _number(b, 1), pivot)
        unit_row = b.binary("div", pivot_row, pivot)
        reduced = b.binary("sub", x, b.binary("mul", _column(b, x, k), unit_row))
        x = b.where(_is_row(b, k, order), unit_row, reduced)
    return _Elimination(x, pivots, swapped)


def _chosen_row(b: Builder, x: Value, chosen: Value) -> Value:
    shape = [*x.shape[:-2], 1, x.shape[-1]]
    index = b.broadcast(chosen, shape)
    return b.emit("tract_core_gather_elements", x, index, axis=x.rank - 2, like=x.of(shape=shape))


def _product(b: Builder, factors: Sequence[Value]) -> Value:
    return functools.reduce(lambda p, f: b.binary("mul", p, f), factors)


def _scalars(b: Builder, x: Value) -> Value:
    return b.squeeze(x, [x.rank - 2, x.rank - 1])


def _sign_of_swaps(b: Builder, swapped: Sequence[Value]) -> Value:
    odd = functools.reduce(lambda p, s: b.binary("tract_core_xor", p, s), swapped)
    return b.where(odd, _number(b, -1), _number(b, 1))


@lowers(aten.linalg_det.default)
def linalg_det(b: Builder, A: Value) -> Value:  # noqa: N803  (the schema's name)
    """linalg_det(Tensor A) -> Tensor"""
    return det(b, A)


@lowers(aten.det.default)
def det(b: Builder, x: Value) -> Value:
    """det(Tensor self) -> Tensor"""
    order = _order(x)
    if order == 0:
        return b.full(1, b.result.dtype, b.result.shape)
    done = _eliminated(b, _wide(b, x), order, singular=True)
    value = b.binary("mul", _product(b, done.pivots), _sign_of_swaps(b, done.swapped))
    return b.cast(_scalars(b, value), b.result.dtype)


@lowers(aten.linalg_slogdet.default)
def linalg_slogdet(b: Builder, A: Value) -> tuple[Value, Value]:  # noqa: N803
    """linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)"""
    return slogdet(b, A)


@lowers(aten.slogdet.default)
def slogdet(b: Builder, x: Value) -> tuple[Value, Value]:
    """slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)"""
    order, sign, total = _order(x), _number(b, 1), _number(b, 0)
    result = b.results[0]
    if order == 0:
        return b.full(1, result.dtype, result.shape), b.full(0, result.dtype, result.shape)
    done = _eliminated(b, _wide(b, x), order, singular=True)
    for pivot in done.pivots:
        sign = b.binary("mul", sign, b.emit("sign", pivot))
        total = b.binary("add", total, b.emit("log", b.emit("abs", pivot)))
    sign = b.binary("mul", sign, _sign_of_swaps(b, done.swapped))
    return b.cast(_scalars(b, sign), result.dtype), b.cast(_scalars(b, total), result.dtype)


@lowers(aten.logdet.default)
def logdet(b: Builder, x: Value) -> Value:
    """logdet(Tensor self) -> Tensor"""
    sign, total = slogdet(b, x)
    below = b.binary("lt", sign, b.scalar(0, sign.dtype), torch.bool)
    return b.where(below, b.scalar(torch.nan, total.dtype), total)


@lowers(aten.linalg_inv.default)
def linalg_inv(b: Builder, A: Value) -> Value:  # noqa: N803
    """linalg_inv(Tensor A) -> Tensor"""
    return inverse(b, A)


@lowers(aten.inverse.default)
def inverse(b: Builder, x: Value) -> Value:
    """inverse(Tensor self) -> Tensor"""
    order = _order(x)
    if order == 0:
        return x
    unit = b.broadcast(b.constant(torch.eye(order, dtype=torch.float64)), x.shape)
    return b.cast(_solved(b, _wide(b, x), unit), b.result.dtype)


@lowers(aten.linalg_inv_ex.default)
def linalg_inv_ex(
    b: Builder,
    A: Value,  # noqa: N803
    check_errors: bool = False,
) -> tuple[Value, Value]:
    """linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)"""
    order, info = _order(A), b.results[1]
    if order == 0:
        return A, b.full(0, info.dtype, info.shape)
    unit = b.broadcast(b.constant(torch.eye(order, dtype=torch.float64)), A.shape)
    done = _eliminated(b, b.concat([_wide(b, A), unit], A.rank - 1), order)
    zeros = [b.binary("eq", pivot, _number(b, 0), torch.bool) for pivot in done.pivots]
    inverse = b.slice(done.matrix, A.rank - 1, order, 2 * order)
    return b.cast(inverse, A.dtype), _first_true(b, zeros, info)


def _first_true(b: Builder, found: Sequence[Value], like: Fact) -> Value:
    """The number of the first condition that holds, counted from 1, or 0 if none does."""
    first = b.scalar(0, like.dtype)
    for number in range(len(found), 0, -1):
        first = b.where(found[number - 1], b.scalar(number, like.dtype), first)
    return _scalars(b, first)


@lowers(aten.linalg_solve.default)
def linalg_solve(b: Builder, A: Value, B: Value, left: bool = True) -> Value:  # noqa: N803
    """linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor"""
    if _order(A) == 0:
        return b.full(0, b.result.dtype, b.result.shape)
    matrix, right = _wide(b, A), _wide(b, B)
    # A vector for each matrix, as PyTorch tells it from matrices.
    vectors = B.rank == 1 or (A.rank - 1 == B.rank and A.shape[:-1] == B.shape)
    right = b.unsqueeze(right, [B.rank]) if vectors else right
    if not left:
        matrix, right = _turned(b, matrix), right if vectors else _turned(b, right)
    solution = _solved(b, *_batched(b, matrix, right))
    if vectors:
        solution = b.squeeze(solution, [solution.rank - 1])
    return b.cast(solution if left or vectors else _turned(b, solution), b.result.dtype)


def _solved(b: Builder, matrix: Value, right: Value) -> Value:
    order, last = _order(matrix), matrix.rank - 1
    joined = _eliminated(b, b.concat([matrix, right], last), order).matrix
    return b.slice(joined, last, order, joined.shape[last])


def _turned(b: Builder, x: Value) -> Value:
    return b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


def _batched(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Matrices broadcast to the same batch."""
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return b.broadcast(x, [*batch, *x.shape[-2:]]), b.broadcast(y, [*batch, *y.shape[-2:]])


# Triangles.


@lowers(aten.linalg_cholesky.default, aten.cholesky.default)
def cholesky(b: Builder, x: Value, upper: bool = False) -> Value:
    """linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor"""
    order = _order(x)
    return x if order == 0 else _factor(b, x, order, upper)[0]


@lowers(aten.linalg_cholesky_ex.default)
def linalg_cholesky_ex(
    b: Builder, x: Value, upper: bool = False, check_errors: bool = False
) -> tuple[Value, Value]:
    """linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> ..."""
    order, info = _order(x), b.results[1]
    if order == 0:
        return x, b.full(0, info.dtype, info.shape)
    factor, pivots = _factor(b, x, order, upper)
    negative = [b.emit("not", b.binary("gt", p, _number(b, 0), torch.bool)) for p in pivots]
    return factor, _first_true(b, negative, info)


def _factor(b: Builder, x: Value, order: int, upper: bool) -> tuple[Value, list[Value]]:
    """Cholesky's factor, and the squares of its diagonal, [..., 1, 1]."""
    rest, columns, pivots = _wide(b, x), [], []
    rest = _turned(b, rest) if upper else rest  # PyTorch reads one triangle
    for k in range(order):
        column = _column(b, rest, k)
        pivots.append(_row(b, column, k))
        column = b.binary("div", column, b.emit("sqrt", pivots[-1]))
        above = b.constant(torch.arange(order)[:, None] < k)
        column = b.where(above, _number(b, 0), column)
        columns.append(column)
        rest = b.binary("sub", rest, b.binary("mul", column, _turned(b, column)))
    factor = b.concat(columns, x.rank - 1)
    return b.cast(_turned(b, factor) if upper else factor, b.result.dtype), pivots


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
    order = _order(x)
    if order == 0:
        return b.full(0, b.result.dtype, b.result.shape)
    matrix, right = _batched(b, _wide(b, x), _wide(b, B))
    if not left:
        matrix, right, upper = _turned(b, matrix), _turned(b, right), not upper
    rows: dict[int, Value] = {}
    for k in reversed(range(order)) if upper else range(order):
        row, factors = _row(b, right, k), _row(b, matrix, k)
        for j, known in rows.items():
            row = b.binary("sub", row, b.binary("mul", _column(b, factors, j), known))
        rows[k] = row if unitriangular else b.binary("div", row, _column(b, factors, k))
    solution = b.concat([rows[k] for k in range(order)], right.rank - 2)
    return b.cast(solution if left else _turned(b, solution), b.result.dtype)
