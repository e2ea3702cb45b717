"""Orthogonal factors of matrices of fixed size, by LAPACK's reflections.

A reflection I - tau v v^T makes a column a multiple of a unit vector. LAPACK gives the multiple
the sign that the element there hadn't, so these factors are the only ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from torchtract import factorizations  # noqa: F401  (defines torch.ops.torchtract.geqrf)
from torchtract.lower.builder import Builder
from torchtract.lower.ops.linalg_matrices import (
    column,
    is_row,
    number,
    row,
    sides_of,
    turned,
    unit,
    wide,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Value

aten = torch.ops.aten

#: v, [..., rows, 1], and tau, [..., 1, 1].
Reflection = tuple[Value, Value]

#: What tract 0.23.9 can still divide by: it multiplies by a reciprocal.
_TINY = 1e-307


def reflected(b: Builder, x: Value, reflections: Iterable[Reflection]) -> Value:
    """The matrices with their columns reflected by one after the other."""
    for v, tau in reflections:
        along = b.reduce("sum_reduce", b.binary("mul", v, x), [x.rank - 2], keepdim=True)
        x = b.binary("sub", x, b.binary("mul", b.binary("mul", tau, v), along))
    return x


def reflections_of(b: Builder, x: Value) -> tuple[Value, list[Reflection]]:
    """Matrices with R on and above the diagonal, and the reflections that made them.

    A column that ends at its diagonal is not reflected.
    """
    rows, columns = sides_of(x)
    found = []
    for k in range(min(rows - 1, columns)):
        found.append(_reflection(b, column(b, x, k), k))
        x = reflected(b, x, found[-1:])
    return x, found


def _reflection(b: Builder, x: Value, k: int) -> Reflection:
    """What makes a column, from row k on, a multiple of a unit vector."""
    rows, none = sides_of(x)[0], number(b, 0)
    x = _comparable(b, b.where(b.constant(torch.arange(rows)[:, None] >= k), x, none))
    alpha = row(b, x, k)
    below = b.where(is_row(b, k, rows), none, x)
    squares = b.reduce("sum_reduce", b.binary("mul", below, below), [x.rank - 2], keepdim=True)
    norm = b.emit("sqrt", b.binary("add", b.binary("mul", alpha, alpha), squares))
    beta = b.where(b.binary("lt", alpha, none, torch.bool), norm, b.emit("neg", norm))
    there = b.binary("eq", squares, none, torch.bool)  # nothing is to be done
    tau = b.binary("div", b.binary("sub", beta, alpha), b.where(there, number(b, 1), beta))
    length = b.where(there, number(b, 1), b.binary("sub", alpha, beta))
    v = b.where(is_row(b, k, rows), number(b, 1), b.binary("div", below, length))
    return v, b.where(there, none, tau)


def _comparable(b: Builder, x: Value) -> Value:
    """Columns whose squares neither overflow nor vanish; their reflections are the same."""
    largest = b.reduce("max_reduce", b.emit("abs", x), [x.rank - 2], keepdim=True)
    usual = b.binary("lt", number(b, _TINY), largest, torch.bool)
    return b.binary("div", x, b.where(usual, largest, number(b, 1)))


def _reflections_from(b: Builder, x: Value, tau: Value) -> list[Reflection]:
    """The reflections as LAPACK keeps them: each v below the diagonal of its column."""
    rows, (count, _) = sides_of(x)[0], sides_of(b.unsqueeze(tau, [tau.rank]))
    taus = b.unsqueeze(wide(b, tau), [tau.rank])
    found = []
    for k in range(count):
        below = b.constant(torch.arange(rows)[:, None] > k)
        v = b.where(below, column(b, wide(b, x), k), number(b, 0))
        v = b.where(is_row(b, k, rows), number(b, 1), v)
        found.append((v, row(b, taus, k)))
    return found


def _upper(b: Builder, x: Value, rest: Value) -> Value:
    """The matrices on and above the diagonal, and others below."""
    rows, columns = sides_of(x)
    below = torch.arange(rows)[:, None] > torch.arange(columns)
    return b.where(b.constant(below), rest, x) if below.any() else x


@lowers(aten.linalg_qr.default)
def linalg_qr(b: Builder, A: Value, mode: str = "reduced") -> tuple[Value, Value]:  # noqa: N803
    """linalg_qr(Tensor A, str mode="reduced") -> (Tensor Q, Tensor R)"""
    q, r = b.results
    if 0 in A.shape[-2:]:
        return _nothing(b, q), b.full(0, r.dtype, r.shape)
    x, found = reflections_of(b, wide(b, A))
    upper = b.slice(_upper(b, x, number(b, 0)), x.rank - 2, 0, int(r.shape[-2]))
    if mode == "r":
        return b.full(0, q.dtype, q.shape), b.cast(upper, r.dtype)
    orthogonal = b.slice(unit(b, sides_of(A)[0], x), x.rank - 1, 0, int(q.shape[-1]))
    orthogonal = reflected(b, orthogonal, reversed(found))
    return b.cast(orthogonal, q.dtype), b.cast(upper, r.dtype)


def _nothing(b: Builder, like: Fact) -> Value:
    """The Q of matrices without elements, a unit matrix where all of it is asked for."""
    if 0 in like.shape:
        return b.full(0, like.dtype, like.shape)
    eye = torch.eye(int(like.shape[-2]), int(like.shape[-1]), dtype=like.dtype)
    return b.broadcast(b.constant(eye), like.shape)


@lowers(aten.geqrf.default, torch.ops.torchtract.geqrf.default)
def geqrf(b: Builder, x: Value) -> tuple[Value, Value]:
    """geqrf(Tensor self) -> (Tensor a, Tensor tau)"""
    factors, taus = b.results
    if 0 in x.shape[-2:]:
        return x, b.full(0, taus.dtype, taus.shape)
    done, found = reflections_of(b, wide(b, x))
    rows, columns = sides_of(x)
    like = Fact(torch.float64, (*x.shape[:-2], 1, 1))
    columns_of_v = [v for v, _ in found]
    missing = b.full(0, like.dtype, (*x.shape[:-2], rows, 1))
    columns_of_v += [missing] * (columns - len(found))
    all_taus = [tau for _, tau in found]
    all_taus += [b.full(0, like.dtype, like.shape)] * (int(taus.shape[-1]) - len(found))
    tau = b.squeeze(b.concat(all_taus, x.rank - 2), [x.rank - 1])
    packed = _upper(b, done, b.concat(columns_of_v, x.rank - 1))
    return b.cast(packed, factors.dtype), b.cast(tau, taus.dtype)


@lowers(aten.linalg_householder_product.default)
def linalg_householder_product(b: Builder, x: Value, tau: Value) -> Value:
    """linalg_householder_product(Tensor input, Tensor tau) -> Tensor"""
    if 0 in x.shape[-2:]:
        return x
    rows, columns = sides_of(x)
    first = b.slice(unit(b, rows, x), x.rank - 1, 0, columns)
    return b.cast(reflected(b, first, reversed(_reflections_from(b, x, tau))), b.result.dtype)


@lowers(aten.ormqr.default)
def ormqr(
    b: Builder,
    x: Value,
    input2: Value,
    input3: Value,
    left: bool = True,
    transpose: bool = False,
) -> Value:
    """ormqr(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False)"""
    if 0 in input3.shape[-2:]:
        return input3
    found = _reflections_from(b, x, input2)
    given = wide(b, input3) if left else turned(b, wide(b, input3))
    done = reflected(b, given, found if left == transpose else reversed(found))
    return b.cast(done if left else turned(b, done), b.result.dtype)
