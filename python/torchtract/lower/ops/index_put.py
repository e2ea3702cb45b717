"""Assignments to an indexed tensor, `x[i] = y`, as new tensors."""

from __future__ import annotations

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.index import (
    axes_in_front,
    from_start,
    indexed_axes,
    linear_position,
    without_masks,
)
from torchtract.lower.ops.scatter import written
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, broadcast_shapes, size_of, volume

aten = torch.ops.aten


@lowers(aten.index_put.default)
def index_put(
    b: Builder,
    x: Value,
    indices: list[Value | None],
    values: Value,
    accumulate: bool = False,
) -> Value:
    """index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor"""
    first = next(a for a, index in enumerate(indices) if index is not None)
    mask = indices[first]
    if mask is not None and mask.dtype == torch.bool and not any(indices[first + 1 :]):
        return _put_by_mask(b, x, first, mask, values, accumulate)
    shape = x.shape
    x, indices = without_masks(b, x, indices)
    axes, places = indexed_axes(indices)
    count = len(axes)
    index_shape = broadcast_shapes(*(p.shape for p in places))
    others = [size for a, size in enumerate(x.shape) if a not in axes]
    ahead = axes[0] if axes[-1] - axes[0] < count else 0
    values = b.broadcast(values, [*others[:ahead], *index_shape, *others[ahead:]])
    moved = [*range(ahead, ahead + len(index_shape)), *range(ahead)]
    values = b.transpose(values, [*moved, *range(len(moved), values.rank)])
    front = axes_in_front(b, x, axes)
    position = linear_position(b, places, front.shape[:count])
    flat = b.reshape(front, [volume(front.shape[:count]), *others])
    rows = b.reshape(values, [volume(index_shape), *others])
    result = written(b, flat, 0, position, rows, "add" if accumulate else None)
    order = [*axes, *(a for a in range(x.rank) if a not in axes)]
    result = b.transpose(b.reshape(result, front.shape), [order.index(a) for a in range(x.rank)])
    return b.reshape(result, shape)


def _put_by_mask(
    b: Builder, x: Value, axis: int, mask: Value, values: Value, accumulate: bool
) -> Value:
    """Values written to, or added at, the elements that a mask picks from an axis on."""
    if 0 in (*x.shape, *values.shape):  # then the mask picks nothing
        return x
    behind = x.shape[axis + mask.rank :]
    if volume(values.shape) == 1:
        values = b.reshape(values, [])
    else:
        # One for each element of the mask: those that it leaves out take any.
        count = values.shape[-1 - len(behind)] if values.rank > len(behind) else 1
        rows = b.broadcast(values, [*x.shape[:axis], count, *behind])
        values = _in_order(b, mask, rows, axis)
    if accumulate:
        values = b.binary("or" if x.dtype == torch.bool else "add", x, values)
    return b.where(b.unsqueeze(mask, list(range(mask.rank, x.rank - axis))), values, x)


def _in_order(b: Builder, mask: Value, rows: Value, axis: int) -> Value:
    """Rows of an axis at the elements that a mask picks, one after the other; others take any."""
    ahead, behind = rows.shape[:axis], rows.shape[axis + 1 :]
    if not isinstance(rows.shape[axis], int):  # there may be none, and a gather needs one
        rows = b.concat([rows, b.full(0, rows.dtype, [*ahead, 1, *behind])], axis)
    flat = b.cast(b.reshape(mask, [volume(mask.shape)]), torch.int64)
    place = b.emit("tract_core_cumsum", flat, axis=0, exclusive=True, reverse=False)
    last = b.scalar(size_of(sympy.sympify(rows.shape[axis]) - 1), torch.int64)
    place = b.reshape(b.binary("min", place, last), mask.shape)
    like = rows.of(shape=[*ahead, *mask.shape, *behind])
    return b.emit("tract_core_gather", rows, place, axis=axis, like=like)


@lowers(aten.put.default)
def put(b: Builder, x: Value, index: Value, source: Value, accumulate: bool = False) -> Value:
    """put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor"""
    count = volume(x.shape)
    places = from_start(b, b.reshape(index, [volume(index.shape)]), count)
    source = b.reshape(source, places.shape)
    flat = b.reshape(x, [count])
    return b.reshape(written(b, flat, 0, places, source, "add" if accumulate else None), x.shape)


@lowers(aten.masked_scatter.default)
def masked_scatter(b: Builder, x: Value, mask: Value, source: Value) -> Value:
    """masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor"""
    shape = broadcast_shapes(x.shape, mask.shape)
    x, mask = b.broadcast(x, shape), b.broadcast(mask, shape)
    if 0 in (*shape, *source.shape):  # then the mask picks nothing
        return x
    source = b.reshape(source, [volume(source.shape)])
    return b.where(mask, _in_order(b, mask, source, 0), x)
