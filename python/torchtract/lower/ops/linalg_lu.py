"""Factors of matrices of fixed size with partial pivoting: A = P L U, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.ops.linalg_cholesky import substituted
from torchtract.lower.ops.linalg_matrices import (
    batched,
    column,
    first_true,
    number,
    row,
    sides_of,
    turned,
    wide,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Value

aten = torch.ops.aten

_BLOCKS = (
    "Bunch and Kaufman's factors have blocks of one row or two, as the data want it; use "
    "torch.linalg.lu_factor and lu_solve, or torch.linalg.solve"
)


@dataclass(frozen=True)
class Factors:
    """What elimination gives.

    Attributes:
        matrix: U, and below its diagonal what L has there.
        pivots: U's diagonal, each [..., 1, 1].
        chosen: which row came to each place, counted from 0, [..., 1, 1].
    """

    matrix: Value
    pivots: list[Value]
    chosen: list[Value]


def chosen_rows(b: Builder, x: Value, k: int) -> Value:
    """The first row from k on whose element in column k is largest, [..., 1, 1]."""
    below = b.slice(b.emit("abs", column(b, x, k)), x.rank - 2, k, x.shape[-2])
    like = below.of(dtype=torch.int64, shape=[*below.shape[:-2], 1, 1])
    chosen = b.emit("argmax_reduce", below, axes=[x.rank - 2], like=like)
    return b.binary("add", chosen, b.scalar(k, torch.int64))


def swapped(b: Builder, x: Value, k: int, chosen: Value) -> Value:
    """The matrices with row k and the chosen one in each other's place."""
    rows = torch.arange(x.shape[-2])[:, None]
    is_chosen = b.binary("eq", b.constant(rows), chosen, torch.bool)
    shape = [*x.shape[:-2], 1, x.shape[-1]]
    index = b.broadcast(chosen, shape)
    like = x.of(shape=shape)
    found = b.emit("tract_core_gather_elements", x, index, axis=x.rank - 2, like=like)
    return b.where(b.constant(rows == k), found, b.where(is_chosen, row(b, x, k), x))


def factored(b: Builder, x: Value) -> Factors:
    """The factors of matrices in float64, which go on behind a pivot of zero."""
    rows, columns = sides_of(x)
    pivots, chosen = [], []
    for k in range(min(rows, columns)):
        chosen.append(chosen_rows(b, x, k))
        x = swapped(b, x, k, chosen[-1])
        pivot_row = row(b, x, k)
        pivots.append(column(b, pivot_row, k))
        if k == rows - 1:
            break
        zero = b.binary("eq", pivots[-1], number(b, 0), torch.bool)
        factor = b.binary("div", column(b, x, k), b.where(zero, number(b, 1), pivots[-1]))
        reduced = b.binary("sub", x, b.binary("mul", factor, pivot_row))
        below = torch.arange(rows)[:, None] > k
        behind = torch.arange(columns) > k
        x = b.where(b.constant(below & (torch.arange(columns) == k)), factor, x)
        x = b.where(b.constant(below & behind), reduced, x) if behind.any() else x
    return Factors(x, pivots, chosen)


def _from_one(b: Builder, chosen: Sequence[Value], like: Fact) -> Value:
    """Places counted from 1 as LAPACK does, [..., k]."""
    if 0 in like.shape:
        return b.full(0, like.dtype, like.shape)
    joined = b.concat(list(chosen), chosen[0].rank - 2)
    places = b.binary("add", joined, b.scalar(1, torch.int64))
    return b.cast(b.squeeze(places, [places.rank - 1]), like.dtype)


def _from_zero(b: Builder, pivots: Value) -> list[Value]:
    """LAPACK's places as `Factors` has them."""
    places = b.binary("sub", b.cast(pivots, torch.int64), b.scalar(1, torch.int64))
    places = b.unsqueeze(places, [places.rank])
    return [row(b, places, k) for k in range(sides_of(places)[0])]


@lowers(aten.linalg_lu_factor_ex.default)
def linalg_lu_factor_ex(
    b: Builder,
    A: Value,  # noqa: N803
    pivot: bool = True,
    check_errors: bool = False,
) -> tuple[Value, Value, Value]:
    """linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> ..."""
    require(pivot, "PyTorch itself pivots always on a CPU")
    lu, places, info = b.results
    if 0 in lu.shape:
        return A, b.full(0, places.dtype, places.shape), b.full(0, info.dtype, info.shape)
    done = factored(b, wide(b, A))
    zeros = [b.binary("eq", p, number(b, 0), torch.bool) for p in done.pivots]
    failed = first_true(b, zeros, info)
    return b.cast(done.matrix, lu.dtype), _from_one(b, done.chosen, places), failed


@lowers(aten.linalg_lu_factor.default)
def linalg_lu_factor(b: Builder, A: Value, pivot: bool = True) -> tuple[Value, Value]:  # noqa: N803
    """linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)"""
    require(pivot, "PyTorch itself pivots always on a CPU")
    lu, places = b.results
    if 0 in lu.shape:
        return A, b.full(0, places.dtype, places.shape)
    done = factored(b, wide(b, A))
    return b.cast(done.matrix, lu.dtype), _from_one(b, done.chosen, places)


@lowers(aten.linalg_lu.default)
def linalg_lu(b: Builder, A: Value, pivot: bool = True) -> tuple[Value, ...]:  # noqa: N803
    """linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)"""
    require(pivot, "PyTorch itself pivots always on a CPU")
    rows, columns = sides_of(A)
    if 0 in (rows, columns):
        return _unpacked(b, A, [])
    done = factored(b, wide(b, A))
    return _unpacked(b, done.matrix, done.chosen)


@lowers(aten.lu_unpack.default)
def lu_unpack(
    b: Builder,
    LU_data: Value,  # noqa: N803
    LU_pivots: Value,  # noqa: N803
    unpack_data: bool = True,
    unpack_pivots: bool = True,
) -> tuple[Value, ...]:
    """lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, ...) -> ..."""
    chosen = _from_zero(b, LU_pivots) if unpack_pivots else []
    return _unpacked(b, LU_data, chosen)


def _unpacked(b: Builder, x: Value, chosen: Sequence[Value]) -> tuple[Value, ...]:
    """P, L and U, of which PyTorch leaves empty what it is not asked for."""
    p, lower, upper = b.results
    found = [_permutation(b, chosen, p)]
    least = min(sides_of(x))
    for fact, is_lower in ((lower, True), (upper, False)):
        if fact.shape == (0,) or 0 in fact.shape:
            found.append(b.full(0, fact.dtype, fact.shape))
            continue
        rows, columns = sides_of(Value(fact.dtype, fact.shape))
        part = b.slice(x, x.rank - 1, 0, columns) if is_lower else b.slice(x, x.rank - 2, 0, least)
        below = torch.arange(rows)[:, None] > torch.arange(columns)
        diagonal = b.constant(torch.eye(rows, columns).to(part.dtype))
        rest = diagonal if is_lower else b.scalar(0, part.dtype)
        part = b.where(b.constant(below if is_lower else ~below), part, rest)
        found.append(b.cast(part, fact.dtype))
    return tuple(found)


def _permutation(b: Builder, chosen: Sequence[Value], like: Fact) -> Value:
    """The matrix that undoes the swaps."""
    if like.shape == (0,) or 0 in like.shape:
        return b.full(0, like.dtype, like.shape)
    rows, _ = sides_of(Value(like.dtype, like.shape))
    places = b.constant(torch.arange(rows)[:, None])
    if not chosen:
        return b.cast(b.broadcast(b.constant(torch.eye(rows)), like.shape), like.dtype)
    order = b.broadcast(places, [*like.shape[:-2], rows, 1])
    for k, place in enumerate(chosen):
        order = swapped(b, order, k, place)
    return b.cast(b.binary("eq", places, turned(b, order), torch.bool), like.dtype)


@lowers(aten.linalg_lu_solve.default)
def linalg_lu_solve(
    b: Builder,
    LU: Value,  # noqa: N803
    pivots: Value,
    B: Value,  # noqa: N803
    left: bool = True,
    adjoint: bool = False,
) -> Value:
    """linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, ...) -> Tensor"""
    if 0 in b.result.shape:
        return b.full(0, b.result.dtype, b.result.shape)
    factors, x, chosen = wide(b, LU), wide(b, B), list(enumerate(_from_zero(b, pivots)))
    if not left:
        x, adjoint = turned(b, x), not adjoint
    factors, x = batched(b, factors, x)
    if adjoint:
        factors = turned(b, factors)
        x = substituted(b, factors, x, upper=False)
        x = substituted(b, factors, x, upper=True, unitriangular=True)
        chosen.reverse()
    for k, place in chosen:
        x = swapped(b, x, k, place)
    if not adjoint:
        x = substituted(b, factors, x, upper=False, unitriangular=True)
        x = substituted(b, factors, x, upper=True)
    return b.cast(x if left else turned(b, x), b.result.dtype)


@lowers(aten.linalg_ldl_factor.default, aten.linalg_ldl_factor_ex.default)
def linalg_ldl_factor(b: Builder, x: Value, hermitian: bool = False) -> Value:
    """linalg_ldl_factor(Tensor self, *, bool hermitian=False) -> (Tensor LD, Tensor pivots)"""
    raise Refusal(_BLOCKS)


@lowers(aten.linalg_ldl_solve.default)
def linalg_ldl_solve(
    b: Builder,
    LD: Value,  # noqa: N803
    pivots: Value,
    B: Value,  # noqa: N803
    hermitian: bool = False,
) -> Value:
    """linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False) -> Tensor"""
    raise Refusal(_BLOCKS)
