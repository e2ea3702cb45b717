"""Where elements are not zero: as many positions as the data says, so a run finds their number.

The number is a symbol that the file declares and no input gives. tract binds it while running,
when it knows the positions, and what follows computes with it as with any other symbol.
"""

from __future__ import annotations

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import static_int
from torchtract.lower.counts import depends_on_inputs
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value, broadcast_shapes, size_of, volume

__all__ = ["coordinates", "counted_range", "measured_slice", "picked_positions"]

aten = torch.ops.aten


def coordinates(b: Builder, x: Value) -> Value:
    """The coordinates of what is not zero, in the order of the elements: [rank, count]."""
    if 0 in x.shape:
        return b.full(0, torch.int64, [x.rank, 0])
    if x.data is not None:
        return b.constant(torch.nonzero(x.data).T.contiguous())
    count = b.count_of(x)
    if not depends_on_inputs(b.graph, x.name):
        x = b.binary("and", b.cast(x, torch.bool), _truth_of_data(b))
    like = Fact(torch.int64, (x.rank, count))
    return b.emit("tract_onnx_non_zero", x, count_symbol=str(count), like=like)


def _truth_of_data(b: Builder) -> Value:
    """True, in a way that tract doesn't see.

    It computes ahead of a run what no input is needed for, and then binds no symbol (0.23.9).
    """
    x = b.inputs[0]
    flat = b.reshape(x, [volume(x.shape)])
    one = b.full(0, x.dtype, [1])  # for an input that holds nothing
    x = b.squeeze(b.slice(b.concat([flat, one], 0), 0, 0, 1), [0])
    known = x if x.dtype == torch.bool else b.binary("eq", x, b.scalar(0, x.dtype), torch.bool)
    return b.binary("or", known, b.emit("not", known))


def picked_positions(b: Builder, mask: Value) -> Value:
    """Positions in the flat mask of the elements that it picks: [count]."""
    return b.squeeze(coordinates(b, b.reshape(mask, [volume(mask.shape)])), [0])


def counted_range(b: Builder, count: Value) -> Value:
    """The numbers 0, 1 ... before a number that the data says."""
    if count.data is not None:
        return b.range(0, int(count.data), 1, int(count.data))
    zero, one = b.scalar(0, torch.int64), b.scalar(1, torch.int64)
    # tract gives the axis a symbol that has no name. It has one behind a mask that picks all.
    length = sympy.Dummy("length", integer=True, nonnegative=True)
    like = Fact(torch.int64, (length,))
    numbers = b.emit("tract_core_range", zero, count, one, like=like)
    numbers = b.not_followed(numbers)
    return b.squeeze(coordinates(b, b.binary("ge", numbers, zero, torch.bool)), [0])


def measured_slice(b: Builder, x: Value, axis: int, begin: Value, after: Value) -> Value:
    """The elements between two positions along an axis, which a run computes: `begin <= after`."""
    length = b.length_of(b.binary("sub", after, begin))
    if not depends_on_inputs(b.graph, after.name):
        after = b.binary("mul", after, b.cast(_truth_of_data(b), torch.int64))
    # tract gives no slice of nothing where it binds the symbol, so that one has an element more.
    last = b.full(0, x.dtype, [1 if a == axis else s for a, s in enumerate(x.shape)])
    after = b.binary("add", after, b.scalar(1, torch.int64))
    like = x.of(shape=[*x.shape[:axis], length + 1, *x.shape[axis + 1 :]])
    longer = b.concat([x, last], axis)
    longer = b.emit("tract_core_dyn_slice", longer, begin, after, length + 1, axis, like=like)
    return b.slice(longer, axis, 0, length)


@lowers(aten.nonzero.default, aten.argwhere.default)
def nonzero(b: Builder, x: Value) -> Value:
    """nonzero(Tensor self) -> Tensor"""
    return b.transpose(coordinates(b, x), [1, 0])


@lowers(aten.nonzero_numpy.default)
def nonzero_numpy(b: Builder, x: Value) -> tuple[Value, ...]:
    """nonzero_numpy(Tensor self) -> Tensor[]"""
    found = coordinates(b, b.reshape(x, [1]) if x.rank == 0 else x)
    rows = (b.slice(found, 0, axis, axis + 1) for axis in range(max(x.rank, 1)))
    return tuple(b.squeeze(row, [0]) for row in rows)


@lowers(aten.masked_select.default)
def masked_select(b: Builder, x: Value, mask: Value) -> Value:
    """masked_select(Tensor self, Tensor mask) -> Tensor"""
    shape = broadcast_shapes(x.shape, mask.shape)
    flat = b.reshape(b.broadcast(x, shape), [volume(shape)])
    places = picked_positions(b, b.broadcast(mask, shape))
    return b.emit("tract_core_gather", flat, places, axis=0, like=x.of(shape=places.shape))


@lowers(aten.nonzero_static.default)
def nonzero_static(b: Builder, x: Value, size: Size, fill_value: int = -1) -> Value:
    """nonzero_static(Tensor self, *, SymInt size, int fill_value=-1) -> Tensor"""
    count = static_int(size, "the number of positions")
    total = volume(x.shape)
    empty = b.full(fill_value, torch.int64, [count, x.rank])
    if 0 in empty.shape or total == 0:
        return empty
    mask = b.cast(b.reshape(x, [total]), torch.bool)
    ahead = b.emit(
        "tract_core_cumsum", b.cast(mask, torch.int64), axis=0, exclusive=True, reverse=False
    )
    # Rows from `count` on, and one for what is zero, are cut off in the end.
    last = b.scalar(count, torch.int64)
    row = b.where(mask, b.binary("min", ahead, last), last)
    places = [_along_axis(b, x.shape, axis) for axis in range(x.rank)]
    columns = b.concat([b.reshape(place, [total, 1]) for place in places], 1)
    onto = b.full(fill_value, torch.int64, [count + 1, x.rank])
    filled = b.emit("tract_core_scatter_nd", onto, b.unsqueeze(row, [1]), columns)
    return b.slice(filled, 0, 0, count)


def _along_axis(b: Builder, shape: tuple[Size, ...], axis: int) -> Value:
    """The coordinate of each element along one axis."""
    numbers = b.range(0, shape[axis], 1, shape[axis])
    alone = [size if a == axis else 1 for a, size in enumerate(shape)]
    return b.broadcast(b.reshape(numbers, alone), [size_of(size) for size in shape])
