"""What lowerings of small matrices share: columns, rows and batches of them, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.value import Fact, Value, broadcast_shapes

__all__ = [
    "LARGEST_IN_LOOPS",
    "batched",
    "column",
    "first_true",
    "is_row",
    "number",
    "order_of",
    "row",
    "scalar_matrix",
    "scalars",
    "sides_of",
    "turned",
    "unit",
    "wide",
]

#: Rows or columns beyond which a file of so many operations would be no help.
_LARGEST = 32

#: Rows or columns beyond which loops would take seconds.
LARGEST_IN_LOOPS = 64


def order_of(x: Value, largest: int = _LARGEST) -> int:
    """The number of rows of square matrices."""
    order = static_int(x.shape[-1], "the number of rows")
    require(order <= largest, f"matrices of more than {largest} rows have no lowering")
    return order


def sides_of(x: Value, largest: int = _LARGEST) -> tuple[int, int]:
    """The numbers of rows and of columns, of which the smaller is the number of steps."""
    rows = static_int(x.shape[-2], "the number of rows")
    columns = static_int(x.shape[-1], "the number of columns")
    least = min(rows, columns)
    require(least <= largest, f"matrices of more than {largest} rows and columns have no lowering")
    return rows, columns


def wide(b: Builder, x: Value) -> Value:
    """The matrices in float64."""
    return b.cast(x, torch.float64)


def number(b: Builder, value: float) -> Value:
    """A number of float64."""
    return b.scalar(value, torch.float64)


def unit(b: Builder, order: int, like: Value) -> Value:
    """A unit matrix for each of the matrices."""
    matrix = b.constant(torch.eye(order, dtype=torch.float64))
    return b.broadcast(matrix, [*like.shape[:-2], order, order])


def scalar_matrix(b: Builder, value: float, like: Value) -> Value:
    """A number of float64 with as many axes as the matrices."""
    return b.constant(torch.full([1] * like.rank, value, dtype=torch.float64))


def column(b: Builder, x: Value, k: int) -> Value:
    """Column k, [..., rows, 1]."""
    return b.slice(x, x.rank - 1, k, k + 1)


def row(b: Builder, x: Value, k: int) -> Value:
    """Row k, [..., 1, columns]."""
    return b.slice(x, x.rank - 2, k, k + 1)


def is_row(b: Builder, k: int, count: int) -> Value:
    """Which of the rows is row k, [count, 1]."""
    return b.constant(torch.arange(count)[:, None] == k)


def scalars(b: Builder, x: Value) -> Value:
    """Matrices of one element as numbers."""
    return b.squeeze(x, [x.rank - 2, x.rank - 1])


def turned(b: Builder, x: Value) -> Value:
    """The transposed matrices."""
    return b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


def batched(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Matrices broadcast to the same batch."""
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return b.broadcast(x, [*batch, *x.shape[-2:]]), b.broadcast(y, [*batch, *y.shape[-2:]])


def first_true(b: Builder, found: Sequence[Value], like: Fact) -> Value:
    """The number of the first condition that holds, counted from 1, or 0 if none does."""
    first = b.scalar(0, like.dtype)
    for place in range(len(found), 0, -1):
        first = b.where(found[place - 1], b.scalar(place, like.dtype), first)
    return scalars(b, first)
