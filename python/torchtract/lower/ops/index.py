"""Parts of tensors by position: slices, gathers, and indexing by tensors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import sympy
import torch
from torch.utils._sympy.functions import FloorDiv, Max, Min
from torch.utils._sympy.symbol import SymT, symbol_is_type

from torchtract.lower.builder import Builder
from torchtract.lower.checks import static_int
from torchtract.lower.ops.nonzero import measured_slice, picked_positions
from torchtract.lower.ops.shape import axis_of, every
from torchtract.lower.registry import lowers
from torchtract.lower.simplify import is_nonnegative, simplest
from torchtract.lower.value import Size, Value, broadcast_shapes, size_of, volume

__all__ = [
    "axes_in_front",
    "bounds",
    "from_start",
    "indexed_axes",
    "linear_position",
    "position_of",
    "without_masks",
]

aten = torch.ops.aten


# Slices.


@lowers(aten.slice.Tensor)
def slice_tensor(
    b: Builder,
    x: Value,
    dim: int = 0,
    start: Size | None = None,
    end: Size | None = None,
    step: Size = 1,
) -> Value:
    """slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None,
    SymInt step=1) -> Tensor(a)
    """
    axis = axis_of(dim, x.rank)
    stride = static_int(step, "its step")
    start, end = _if_known(b, start), _if_known(b, end)
    if b.read(start) is not None or b.read(end) is not None:
        return _between_numbers(b, x, axis, start, end, stride)
    count = b.result.shape[axis]
    if isinstance(count, sympy.Symbol) and symbol_is_type(count, SymT.UNBACKED_INT):
        count = _count(x.shape[axis], start, end, stride)
    first, rows = start or 0, _rows(x.shape[axis], stride)
    in_first_row = isinstance(first, int) and 0 <= first < stride
    if rows is not None and in_first_row and _is_to_the_end(end, x.shape[axis]):
        return _column(b, x, axis, rows, stride, first)
    begin, end = bounds(x.shape[axis], start, count, stride)
    return b.slice(x, axis, begin, end) if stride == 1 else every(b, x, axis, begin, end, stride)


def _rows(size: Size, step: int) -> Size | None:
    """How often a step fits into a symbolic axis, where nothing is left over."""
    if isinstance(size, int) or step < 2:
        return None
    rows = simplest(FloorDiv(size, sympy.Integer(step)))
    return size_of(rows) if simplest(sympy.expand(step * rows - size)) == 0 else None


def _is_to_the_end(end: Size | None, size: Size) -> bool:
    return end is None or end == size or (isinstance(end, int) and end >= sys.maxsize)


def _column(b: Builder, x: Value, axis: int, rows: Size, step: int, start: int) -> Value:
    """Every element at `start` in its row of `step`: of one size in the file for each start."""
    split = b.reshape(x, [*x.shape[:axis], rows, step, *x.shape[axis + 1 :]])
    return b.squeeze(b.slice(split, axis + 1, start, start + 1), [axis + 1])


def _count(size: Size, start: Size | None, end: Size | None, step: int) -> Size:
    """How many elements a slice has whose bounds may count from either end of the axis."""
    begin = _within(position_of(0 if start is None else start, size), size)
    after = size if end is None else _within(position_of(end, size), size)
    span = Max(0, sympy.sympify(after) - begin, evaluate=False)
    return size_of(FloorDiv(span + step - 1, step))


def bounds(size: Size, start: Size | None, count: Size, step: int) -> tuple[Size, Size]:
    """Where a slice that holds `count` elements begins, and the position behind its end.

    The count comes from torch's tracer, which knows how PyTorch moves ends that lie
    outside of the tensor; so the end follows from it, without a minimum in the file.
    """
    begin = _within(position_of(0 if start is None else start, size), size)
    return begin, size_of(begin + sympy.sympify(count) * step)


def position_of(index: Size, size: Size) -> Size:
    """An index counted from the start of an axis of this size."""
    index = sympy.sympify(index)
    if is_nonnegative(index):
        return size_of(index)
    if is_nonnegative(-index - 1):
        return size_of(size + index)
    # Its symbols decide from where it counts: this adds the size where the index is below zero.
    below = Min(1, Max(0, -index, evaluate=False), evaluate=False)
    return size_of(index + size * below)


def _within(position: Size, size: Size) -> Size:
    """A position as a slice takes it: one that lies outside is moved to the nearer end."""
    if position == 0:
        return 0  # also where it is not known that the size can't be less, `(S - 3) / 2`
    if not _holds_without_empty(position):
        position = Max(0, position, evaluate=False)
    if not _holds_without_empty(size - sympy.sympify(position)):
        position = Min(position, size, evaluate=False)
    return size_of(position)


def _holds_without_empty(size: Size) -> bool:
    """Whether a size is at least 0 for all symbols of 1 and more, as torch's tracer counts."""
    size = sympy.sympify(size)
    return is_nonnegative(size.subs({symbol: symbol + 1 for symbol in size.free_symbols}))


def _if_known(b: Builder, bound: Size | None) -> Size | None:
    """A bound that Python code read from a tensor as a number, where it is known at export."""
    number = b.read(bound)
    return bound if number is None or number.known is None else int(number.known)


def _between_numbers(
    b: Builder, x: Value, axis: int, start: Size | None, end: Size | None, step: int
) -> Value:
    """A slice with a bound that Python code read from a tensor: as long as a run finds it."""
    size = x.shape[axis]
    begin = _position(b, 0 if start is None else start, size)
    after = _position(b, size if _is_to_the_end(end, size) else end, size)
    part = measured_slice(b, x, axis, begin, b.binary("max", begin, after))
    return part if step == 1 else every(b, part, axis, 0, part.shape[axis], step)


def _position(b: Builder, bound: Size | None, size: Size) -> Value:
    """Where a slice that has this bound begins or ends, as a number that a run computes."""
    number = b.read(bound)
    if number is None:
        position = b.scalar(position_of(bound or 0, size), torch.int64)
    else:
        number = b.not_followed(b.cast(b.reshape(number, []), torch.int64))
        position = from_start(b, number, size)
    position = b.binary("max", position, b.scalar(0, torch.int64))
    return b.binary("min", position, b.scalar(size, torch.int64))


@lowers(aten.narrow.default)
def narrow(b: Builder, x: Value, dim: int, start: Size, length: Size) -> Value:
    """narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)"""
    axis = axis_of(dim, x.rank)
    begin = position_of(start, x.shape[axis])
    return b.slice(x, axis, begin, size_of(begin + sympy.sympify(length)))


@lowers(aten.select.int)
def select(b: Builder, x: Value, dim: int, index: Size) -> Value:
    """select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)"""
    axis = axis_of(dim, x.rank)
    begin = position_of(index, x.shape[axis])
    return b.squeeze(b.slice(x, axis, begin, size_of(begin + sympy.Integer(1))), [axis])


# Gathers.


@lowers(aten.index_select.default)
def index_select(b: Builder, x: Value, dim: int, index: Value) -> Value:
    """index_select(Tensor self, int dim, Tensor index) -> Tensor"""
    if x.rank == 0:
        return x
    return _gather(b, x, axis_of(dim, x.rank), b.reshape(index, [volume(index.shape)]))


@lowers(aten.take.default)
def take(b: Builder, x: Value, index: Value) -> Value:
    """take(Tensor self, Tensor index) -> Tensor"""
    return _gather(b, b.reshape(x, [volume(x.shape)]), 0, index)


def _gather(b: Builder, x: Value, axis: int, index: Value) -> Value:
    like = x.of(shape=[*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    return b.emit("tract_core_gather", x, index, axis=axis, like=like)


@lowers(aten.gather.default)
def gather(b: Builder, x: Value, dim: int, index: Value, sparse_grad: bool = False) -> Value:
    """gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor"""
    return _gather_elements(b, x, dim, index)


@lowers(aten.take_along_dim.default)
def take_along_dim(b: Builder, x: Value, indices: Value, dim: int | None = None) -> Value:
    """take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor"""
    if dim is None:
        x, indices = (b.reshape(v, [volume(v.shape)]) for v in (x, indices))
        return _gather_elements(b, x, 0, indices)
    axis = axis_of(dim, x.rank)
    shape = broadcast_shapes(
        (*x.shape[:axis], 1, *x.shape[axis + 1 :]),
        (*indices.shape[:axis], 1, *indices.shape[axis + 1 :]),
    )
    x, indices = (
        b.broadcast(v, [*shape[:axis], v.shape[axis], *shape[axis + 1 :]]) for v in (x, indices)
    )
    return _gather_elements(b, x, axis, indices)


def _gather_elements(b: Builder, x: Value, dim: int, index: Value) -> Value:
    if 0 in index.shape:  # PyTorch lets this have other axes than x has
        return b.full(0, x.dtype, b.result.shape)
    x, index = (b.reshape(v, [1]) if v.rank == 0 else v for v in (x, index))
    like = x.of(shape=index.shape)
    axis = axis_of(dim, x.rank)
    elements = b.emit("tract_core_gather_elements", x, index, axis=axis, like=like)
    return b.reshape(elements, b.result.shape)


# Indexing by tensors: `x[i]`, `x[:, i, j]`.


@lowers(aten.index.Tensor)
def index(b: Builder, x: Value, indices: list[Value | None]) -> Value:
    """index.Tensor(Tensor self, Tensor?[] indices) -> Tensor"""
    x, indices = without_masks(b, x, indices)
    axes, places = indexed_axes(indices)
    if len(axes) == 1:  # tract counts negative ones from the end itself
        return _gather(b, x, axes[0], places[0])
    if axes[-1] - axes[0] >= len(axes):
        x, axes = axes_in_front(b, x, axes), list(range(len(axes)))
    first, last = axes[0], axes[-1]
    merged = [*x.shape[:first], volume(x.shape[first : last + 1]), *x.shape[last + 1 :]]
    position = linear_position(b, places, x.shape[first : last + 1])
    return _gather(b, b.reshape(x, merged), first, position)


def without_masks(
    b: Builder, x: Value, indices: Sequence[Value | None]
) -> tuple[Value, list[Value | None]]:
    """The same parts of a tensor by positions, where axes that a mask covers are one axis."""
    shape: list[Size] = []
    places: list[Value | None] = []
    axis = 0
    for index in indices:
        is_mask = index is not None and index.dtype in (torch.bool, torch.uint8)
        covered = index.rank if index is not None and is_mask else 1
        shape.append(volume(x.shape[axis : axis + covered]))
        places.append(picked_positions(b, index) if index is not None and is_mask else index)
        axis += covered
    return b.reshape(x, [*shape, *x.shape[axis:]]), places


def indexed_axes(indices: Sequence[Value | None]) -> tuple[list[int], list[Value]]:
    """The axes that tensors index, and those tensors."""
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    return axes, [index for index in indices if index is not None]


def axes_in_front(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    """The tensor with these axes ahead of the others."""
    return b.transpose(x, [*axes, *(a for a in range(x.rank) if a not in axes)])


def linear_position(b: Builder, places: Sequence[Value], sizes: Sequence[Size]) -> Value:
    """Positions along several axes as one along the axis that merges them."""
    linear = from_start(b, places[0], sizes[0])
    for place, size in zip(places[1:], sizes[1:], strict=True):
        rows = b.binary("mul", linear, b.scalar(size, torch.int64))
        linear = b.binary("add", rows, from_start(b, place, size))
    return linear


def from_start(b: Builder, index: Value, size: Size) -> Value:
    """Positions counted from the start, where negative ones count from the end."""
    known = index.data is not None and bool((index.data >= 0).all())
    index = b.cast(index, torch.int64)
    if known:
        return index
    from_end = b.binary("add", index, b.scalar(size, torch.int64))
    negative = b.binary("gt", b.scalar(0, torch.int64), index, torch.bool)
    return b.where(negative, from_end, index)
