"""Determinants, inverses and solutions for square matrices of fixed size.

Each column is one round of operations on the whole batch, in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.linalg_lu import chosen_rows, factored, swapped
from torchtract.lower.ops.linalg_matrices import (
    batched,
    column,
    first_true,
    is_row,
    number,
    order_of,
    row,
    scalars,
    turned,
    unit,
    wide,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, volume

aten = torch.ops.aten


@dataclass(frozen=True)
class _Elimination:
    """What Gauss and Jordan's elimination gives.

    Attributes:
        matrix: what `[A, B]` has become, of which the first columns are the unit matrix.
        pivots: what each row was divided by, [..., 1, 1].
    """

    matrix: Value
    pivots: list[Value]


def _eliminated(b: Builder, x: Value, order: int) -> _Elimination:
    """Rows divided and subtracted, with the largest pivot of each column.

    Args:
        x: matrices [..., order, columns].
        order: how many columns become those of the unit matrix.
    """
    pivots = []
    for k in range(order):
        x = swapped(b, x, k, chosen_rows(b, x, k))
        pivots.append(column(b, row(b, x, k), k))
        unit_row = b.binary("div", row(b, x, k), pivots[-1])
        reduced = b.binary("sub", x, b.binary("mul", column(b, x, k), unit_row))
        x = b.where(is_row(b, k, order), unit_row, reduced)
    return _Elimination(x, pivots)


# Determinants.


@lowers(aten.linalg_det.default)
def linalg_det(b: Builder, A: Value) -> Value:  # noqa: N803  (the schema's name)
    """linalg_det(Tensor A) -> Tensor"""
    return det(b, A)


@lowers(aten.det.default)
def det(b: Builder, x: Value) -> Value:
    """det(Tensor self) -> Tensor"""
    order = order_of(x)
    if order == 0:
        return b.full(1, b.result.dtype, b.result.shape)
    done = factored(b, wide(b, x))
    value = functools.reduce(lambda p, f: b.binary("mul", p, f), done.pivots)
    value = b.binary("mul", value, _sign_of_swaps(b, done.chosen))
    return b.cast(scalars(b, value), b.result.dtype)


def _sign_of_swaps(b: Builder, chosen: Sequence[Value]) -> Value:
    swaps = [
        b.binary("ne", place, b.scalar(k, torch.int64), torch.bool)
        for k, place in enumerate(chosen)
    ]
    odd = functools.reduce(lambda p, s: b.binary("tract_core_xor", p, s), swaps)
    return b.where(odd, number(b, -1), number(b, 1))


@lowers(aten.linalg_slogdet.default)
def linalg_slogdet(b: Builder, A: Value) -> tuple[Value, Value]:  # noqa: N803
    """linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)"""
    return slogdet(b, A)


@lowers(aten.slogdet.default)
def slogdet(b: Builder, x: Value) -> tuple[Value, Value]:
    """slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)"""
    order, sign, total = order_of(x), number(b, 1), number(b, 0)
    result = b.results[0]
    if order == 0:
        return b.full(1, result.dtype, result.shape), b.full(0, result.dtype, result.shape)
    done = factored(b, wide(b, x))
    for pivot in done.pivots:
        sign = b.binary("mul", sign, b.emit("sign", pivot))
        total = b.binary("add", total, b.emit("log", b.emit("abs", pivot)))
    sign = b.binary("mul", sign, _sign_of_swaps(b, done.chosen))
    return b.cast(scalars(b, sign), result.dtype), b.cast(scalars(b, total), result.dtype)


@lowers(aten.logdet.default)
def logdet(b: Builder, x: Value) -> Value:
    """logdet(Tensor self) -> Tensor"""
    sign, total = slogdet(b, x)
    below = b.binary("lt", sign, b.scalar(0, sign.dtype), torch.bool)
    return b.where(below, b.scalar(torch.nan, total.dtype), total)


# Inverses.


@lowers(aten.linalg_inv.default)
def linalg_inv(b: Builder, A: Value) -> Value:  # noqa: N803
    """linalg_inv(Tensor A) -> Tensor"""
    return inverse(b, A)


@lowers(aten.inverse.default)
def inverse(b: Builder, x: Value) -> Value:
    """inverse(Tensor self) -> Tensor"""
    if order_of(x) == 0:
        return x
    matrix = wide(b, x)
    return b.cast(_solved(b, matrix, unit(b, order_of(x), matrix)), b.result.dtype)


@lowers(aten.linalg_inv_ex.default)
def linalg_inv_ex(
    b: Builder,
    A: Value,  # noqa: N803
    check_errors: bool = False,
) -> tuple[Value, Value]:
    """linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)"""
    order, info = order_of(A), b.results[1]
    if order == 0:
        return A, b.full(0, info.dtype, info.shape)
    matrix = wide(b, A)
    done = _eliminated(b, b.concat([matrix, unit(b, order, matrix)], A.rank - 1), order)
    inverse = b.slice(done.matrix, A.rank - 1, order, 2 * order)
    return b.cast(inverse, A.dtype), first_true(b, _zeros(b, done.pivots), info)


def _zeros(b: Builder, pivots: Sequence[Value]) -> list[Value]:
    return [b.binary("eq", pivot, number(b, 0), torch.bool) for pivot in pivots]


@lowers(aten.linalg_tensorinv.default)
def linalg_tensorinv(b: Builder, x: Value, ind: int = 2) -> Value:
    """linalg_tensorinv(Tensor self, int ind=2) -> Tensor"""
    matrix = b.reshape(x, [volume(x.shape[:ind]), volume(x.shape[ind:])])
    return b.reshape(inverse(b, matrix), b.result.shape)


# Solutions.


@lowers(aten.linalg_solve.default)
def linalg_solve(b: Builder, A: Value, B: Value, left: bool = True) -> Value:  # noqa: N803
    """linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor"""
    result = b.results[0]
    if 0 in result.shape:
        return b.full(0, result.dtype, result.shape)
    # A vector for each matrix, as PyTorch tells it from matrices.
    vectors = B.rank == 1 or (A.rank - 1 == B.rank and A.shape[:-1] == B.shape)
    matrix, right = wide(b, A), wide(b, B)
    right = b.unsqueeze(right, [B.rank]) if vectors else right
    if not left:
        matrix, right = turned(b, matrix), right if vectors else turned(b, right)
    solution = _solved(b, *batched(b, matrix, right))
    if vectors:
        solution = b.squeeze(solution, [solution.rank - 1])
    return b.cast(solution if left or vectors else turned(b, solution), result.dtype)


@lowers(aten._linalg_solve_ex.default)
def linalg_solve_ex(
    b: Builder,
    A: Value,  # noqa: N803
    B: Value,  # noqa: N803
    left: bool = True,
    check_errors: bool = False,
) -> tuple[Value, ...]:
    """_linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> ..."""
    result, factors, pivots, info = b.results
    refused = [
        b.unusable(fact, "PyTorch's factors here are those of the matrix or of its transpose")
        for fact in (factors, pivots)
    ]
    if order_of(A) == 0:
        return b.full(0, result.dtype, result.shape), *refused, b.full(0, info.dtype, info.shape)
    # PyTorch counts for each matrix, of which one may serve many right sides.
    failed = first_true(b, _zeros(b, factored(b, wide(b, A)).pivots), info)
    return linalg_solve(b, A, B, left), *refused, failed


def _solved(b: Builder, matrix: Value, right: Value) -> Value:
    order, last = order_of(matrix), matrix.rank - 1
    joined = _eliminated(b, b.concat([matrix, right], last), order).matrix
    return b.slice(joined, last, order, joined.shape[last])
