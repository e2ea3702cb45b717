"""Jacobi's rotations: eigenvalues and singular values of small matrices, as loops over rounds.

A round rotates each pair of columns (i, i + n / 2) so that they become orthogonal. Then all but
the first move by one place, as people do around a table, and after n - 1 rounds, a sweep, each
has met each. Sweeps converge quadratically: random matrices with the worst of spectra needed 16
for 32 columns, and 11 with rotations on both sides. Everything is in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.linalg_matrices import number, scalar_matrix
from torchtract.lower.value import Value

__all__ = ["diagonalised", "orthogonalised"]

#: How the angle follows from the squares of two columns and their product: it makes the new
#: product zero and is at most 45 degrees, so that what is done stays done.
_ANGLE = (
    "d = sub(beta, alpha)",
    "g = add(gamma, gamma)",
    "near = select(lt(d, zero), neg(g), g)",
    "root = sqrt(add(mul(d, d), mul(g, g)))",
    "far = max(add(abs(d), root), abs(g))",  # the squares of small numbers vanish
    "t = div(near, select(lt(far, tiny), one, far))",
    "c = div(one, sqrt(add(one, mul(t, t))))",
    "s = mul(c, t)",
)

#: What tract 0.23.9 can still divide by: it multiplies by a reciprocal.
_TINY = 1e-300


def orthogonalised(b: Builder, x: Value, rows: int) -> Value:
    """Matrices [..., rows and more, columns], rotated so that the columns are orthogonal.

    Args:
        x: what to rotate.
        rows: how many rows the columns are compared in. The others are rotated with them.
    """
    columns, axis = x.shape[-1], x.rank - 2
    if columns == 1:
        return x
    x = _even(b, x, x.rank - 1)
    body = [
        f"p = slice(l, axes = [{axis}], begin = [0], end = [{rows}])",
        f"q = slice(r, axes = [{axis}], begin = [0], end = [{rows}])",
        f"alpha = sum_reduce(mul(p, p), axes = [{axis}])",
        f"beta = sum_reduce(mul(q, q), axes = [{axis}])",
        f"gamma = sum_reduce(mul(p, q), axes = [{axis}])",
        *_ANGLE,
        f"x_next = {_moved('l', 'r', x.rank)}",
    ]
    return b.slice(_rounds(b, x, 6 + 4 * _half(x).bit_length(), body, {}), x.rank - 1, 0, columns)


def diagonalised(b: Builder, x: Value) -> Value:
    """The eigenvalues of symmetric matrices, [..., 1, n], in no order."""
    order, axis = x.shape[-1], x.rank - 2
    if order == 1:
        return x
    x = _even(b, _even(b, x, x.rank - 1), x.rank - 2)
    half = _half(x)
    eye, none = torch.eye(half, dtype=torch.float64), torch.zeros(half, half, dtype=torch.float64)
    ranked = [1] * (x.rank - 2)
    masks = {
        "upper": b.constant(torch.cat([eye, none]).reshape(*ranked, 2 * half, half)),
        "lower": b.constant(torch.cat([none, eye]).reshape(*ranked, 2 * half, half)),
    }
    swapped = [*range(axis), axis + 1, axis]
    body = [
        f"alpha = sum_reduce(mul(l, upper), axes = [{axis}])",
        f"beta = sum_reduce(mul(r, lower), axes = [{axis}])",
        f"gamma = sum_reduce(mul(r, upper), axes = [{axis}])",
        *_ANGLE,
        f"y = transpose({_moved('l', 'r', x.rank)}, axes = {swapped})",
        f"yl = {_side('y', 0, half, x.rank)}",
        f"yr = {_side('y', half, 2 * half, x.rank)}",
        f"x_next = {_moved('yl', 'yr', x.rank)}",
    ]
    x = _rounds(b, x, 4 + 3 * half.bit_length(), body, masks)
    diagonal = b.binary("mul", x, b.constant(torch.eye(2 * half, dtype=torch.float64)))
    return b.slice(b.reduce("sum_reduce", diagonal, [axis], keepdim=True), axis + 1, 0, order)


def _even(b: Builder, x: Value, axis: int) -> Value:
    """An odd number of columns gets one of zeros, which no rotation touches."""
    if x.shape[axis] % 2 == 0:
        return x
    zeros = b.full(0, x.dtype, [1 if a == axis else size for a, size in enumerate(x.shape)])
    return b.concat([x, zeros], axis)


def _half(x: Value) -> int:
    return int(x.shape[-1]) // 2


def _side(x: str, begin: int, end: int, rank: int) -> str:
    return f"slice({x}, axes = [{rank - 1}], begin = [{begin}], end = [{end}])"


def _moved(left: str, right: str, rank: int) -> str:
    """The columns rotated, each at its next place."""
    rotated = f"sub(mul(c, {left}), mul(s, {right})), add(mul(s, {left}), mul(c, {right}))"
    joined = f"concat([{rotated}], axis = {rank - 1})"
    return f"tract_core_gather({joined}, places, axis = {rank - 1})"


def _places(half: int) -> torch.Tensor:
    """Who comes to each place: the first stays, the others go around."""
    table = [*range(1, half), *reversed(range(half, 2 * half))]
    places = torch.zeros(2 * half, dtype=torch.int64)
    places[table] = torch.tensor([table[-1], *table[:-1]])
    return places


def _zeros(b: Builder, x: Value, count: int) -> Value:
    """A zero for each round, computed from data: tract 0.23.9 gives a loop all of a constant."""
    total = b.emit("abs", b.reduce("sum_reduce", x, list(range(x.rank)), keepdim=True))
    never = b.binary("lt", total, number(b, 0), torch.bool)
    return b.broadcast(b.cast(never, x.dtype), [count, *total.shape[1:]])


def _rounds(
    b: Builder, x: Value, sweeps: int, body: Sequence[str], more: Mapping[str, Value]
) -> Value:
    half = _half(x)
    sides = [f"l = {_side('x', 0, half, x.rank)}", f"r = {_side('x', half, 2 * half, x.rank)}"]
    numbers = {"one": scalar_matrix(b, 1, x), "tiny": scalar_matrix(b, _TINY, x)}
    full = {**numbers, "places": b.constant(_places(half)), **more}
    zeros = _zeros(b, x, sweeps * (2 * half - 1))
    return b.emit(
        "tract_core_scan",
        like=x,
        outputs_as_list=True,
        body=b.fragment_of("jacobi_round", ["x", "zero", *full], ["x_next"], [*sides, *body]),
        scan=[("zero", zeros, 0, 1)],
        full=list(full.items()),
        state=[("x", x, "x_next")],
        output=[("x_next", "last", 0, 1)],
        reset_every_turn=1,
    )
