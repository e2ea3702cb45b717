"""Different elements or slices, how often each is there, and repeats by number."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.nonzero import counted_range, picked_positions
from torchtract.lower.ops.scatter import written
from torchtract.lower.ops.shape import axis_of, integers
from torchtract.lower.ops.sort import elements_at, order_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, volume

aten = torch.ops.aten

#: Slices are put in order by one sort for each of their elements.
_LONGEST_SLICE = 64


# Different elements. What a call does not ask for is empty, as in PyTorch, if it is of elements.


@lowers(aten._unique2.default)
def unique(
    b: Builder,
    x: Value,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> tuple[Value, Value, Value]:
    """_unique2(Tensor self, bool sorted=True, bool return_inverse=False,
    bool return_counts=False) -> (Tensor, Tensor, Tensor)
    """
    return _different(b, x, None, True, return_inverse, return_counts)


@lowers(aten.unique_dim.default)
def unique_dim(
    b: Builder,
    x: Value,
    dim: int,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> tuple[Value, Value, Value]:
    """unique_dim(Tensor self, int dim, bool sorted=True, bool return_inverse=False,
    bool return_counts=False) -> (Tensor, Tensor, Tensor)
    """
    return _different(b, x, dim, True, return_inverse, return_counts)


@lowers(aten.unique_consecutive.default)
def unique_consecutive(
    b: Builder,
    x: Value,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> tuple[Value, Value, Value]:
    """unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False,
    int? dim=None) -> (Tensor, Tensor, Tensor)
    """
    return _different(b, x, dim, False, return_inverse, return_counts)


def _different(
    b: Builder, x: Value, dim: int | None, sort: bool, inverse: bool, counts: bool
) -> tuple[Value, Value, Value]:
    """Slices that differ from the one before, in order or as they stand."""
    shape = x.shape if dim is None else (x.shape[axis_of(dim, x.rank)],)
    inverse, counts = inverse or dim is not None, counts or dim is not None
    if dim is None or x.rank == 0:
        x, dim = b.reshape(x, [volume(x.shape)]), 0
    axis = axis_of(dim, x.rank)
    none = b.full(0, torch.int64, [0])
    if x.shape[axis] == 0:
        return b.full(0, x.dtype, x.shape), none, none
    order = _order_of_slices(b, x, axis) if sort else None
    ordered = x if order is None else _slices_at(b, x, axis, order)
    starts = _starts(b, ordered, axis)
    first = picked_positions(b, starts)
    values = _slices_at(b, ordered, axis, first)
    group = b.emit(
        "tract_core_cumsum", b.cast(starts, torch.int64), axis=0, exclusive=False, reverse=False
    )
    group = b.binary("sub", group, b.scalar(1, torch.int64))
    placed = group if order is None else written(b, group, 0, order, group)
    places = b.reshape(placed, shape) if inverse else none
    if not counts:
        return values, places, none
    counts_of = b.binary("sub", first, first)
    return values, places, written(b, counts_of, 0, group, b.scalar(1, torch.int64), "add")


def _slices_at(b: Builder, x: Value, axis: int, positions: Value) -> Value:
    like = x.of(shape=[*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :]])
    return b.emit("tract_core_gather", x, positions, axis=axis, like=like)


def _rows(b: Builder, x: Value, axis: int) -> Value:
    """Slices of an axis as rows: [count, elements of one]."""
    x = b.transpose(x, [axis, *(a for a in range(x.rank) if a != axis)])
    return b.reshape(x, [x.shape[0], volume(x.shape[1:])])


def _order_of_slices(b: Builder, x: Value, axis: int) -> Value:
    """Positions of the slices in the order of their first elements, then of their second ..."""
    rows = _rows(b, x, axis)
    count = static_int(rows.shape[1], "the number of elements of a slice")
    require(count <= _LONGEST_SLICE, f"a slice has {count} elements, and each takes a sort")
    order: Value | None = None
    for column in reversed(range(count)):
        keys = b.squeeze(b.slice(rows, 1, column, column + 1), [1])
        keys = keys if order is None else elements_at(b, keys, 0, order)
        again = order_of(b, keys, 0, rows.shape[0], False)
        order = again if order is None else elements_at(b, order, 0, again)
    require(order is not None, "its slices have no elements")
    assert order is not None
    return order


def _starts(b: Builder, x: Value, axis: int) -> Value:
    """Which slices differ from the one before: [count]. The first one does."""
    rows = _rows(b, b.cast(x, torch.uint8) if x.dtype == torch.bool else x, axis)
    number = integers(b, rows.shape[0])
    zero, one = b.scalar(0, torch.int64), b.scalar(1, torch.int64)
    before = b.binary("max", b.binary("sub", number, one), zero)
    changed = b.binary("ne", rows, _slices_at(b, rows, 0, before), torch.bool)
    first = b.binary("eq", number, zero, torch.bool)
    return b.binary("or", first, b.reduce("any_reduce", changed, [1]))


# How often.


@lowers(aten.repeat_interleave.Tensor)
def repeat_interleave(b: Builder, repeats: Value, output_size: Size | None = None) -> Value:
    """repeat_interleave.Tensor(Tensor repeats, *, SymInt? output_size=None) -> Tensor"""
    if repeats.data is not None:
        return b.constant(torch.repeat_interleave(repeats.data))
    repeats = b.cast(repeats, torch.int64)
    if repeats.shape[0] == 0:
        return b.full(0, b.result.dtype, [0])
    ends = b.emit("tract_core_cumsum", repeats, axis=0, exclusive=False, reverse=False)
    if output_size is None:
        places = counted_range(b, b.reduce("sum_reduce", repeats, [0]))
        zeros = b.binary("sub", places, places)
    else:
        zeros = b.full(0, torch.int64, [output_size])
    # The number of an element is how many end at it or ahead of it.
    ends_at = b.concat([zeros, b.full(0, torch.int64, [1])], 0)
    ended = written(b, ends_at, 0, ends, b.scalar(1, torch.int64), "add")
    ended = b.slice(ended, 0, 0, zeros.shape[0])
    numbers = b.emit("tract_core_cumsum", ended, axis=0, exclusive=False, reverse=False)
    return b.cast(numbers, b.result.dtype)


@lowers(aten.bincount.default)
def bincount(b: Builder, x: Value, weights: Value | None = None, minlength: Size = 0) -> Value:
    """bincount(Tensor self, Tensor? weights=None, SymInt minlength=0) -> Tensor"""
    least = b.scalar(minlength, torch.int64)
    if x.shape[0] == 0:
        return b.full(0, b.result.dtype, [minlength])
    x = b.cast(x, torch.int64)
    above = b.binary("add", b.reduce("max_reduce", x, [0]), b.scalar(1, torch.int64))
    numbers = counted_range(b, b.binary("max", above, least))
    zeros = b.cast(b.binary("sub", numbers, numbers), b.result.dtype)
    ones: Value = b.scalar(1, zeros.dtype) if weights is None else weights
    return written(b, zeros, 0, x, ones, "add")
