"""Tensors with some of their elements written over, as new tensors."""

from __future__ import annotations

import math

import sympy
import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.division import div_mode
from torchtract.lower.ops.index import (
    axes_in_front,
    bounds,
    from_start,
    indexed_axes,
    linear_position,
    position_of,
)
from torchtract.lower.ops.shape import axis_of, diagonal_positions, integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, broadcast_shapes, size_of, volume

aten = torch.ops.aten


# Slices.


@lowers(aten.slice_scatter.default)
def slice_scatter(
    b: Builder,
    x: Value,
    src: Value,
    dim: int = 0,
    start: Size | None = None,
    end: Size | None = None,
    step: Size = 1,
) -> Value:
    """slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None,
    SymInt step=1) -> Tensor
    """
    axis = axis_of(dim, x.rank)
    stride = static_int(step, "its step")
    src = b.cast(src, x.dtype)
    begin, after = bounds(x.shape[axis], start, src.shape[axis], stride)
    if stride == 1:
        return _spliced(b, x, src, axis, begin, after)
    steps = b.binary("mul", integers(b, src.shape[axis]), b.scalar(stride, torch.int64))
    return _written(b, x, axis, b.binary("add", steps, b.scalar(begin, torch.int64)), src)


@lowers(aten.select_scatter.default)
def select_scatter(b: Builder, x: Value, src: Value, dim: int, index: Size) -> Value:
    """select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor"""
    axis = axis_of(dim, x.rank)
    begin = position_of(index, x.shape[axis])
    after = size_of(begin + sympy.Integer(1))
    return _spliced(b, x, b.unsqueeze(b.cast(src, x.dtype), [axis]), axis, begin, after)


def _spliced(b: Builder, x: Value, src: Value, axis: int, begin: Size, after: Size) -> Value:
    """The tensor with its elements from `begin` to `after` replaced."""
    size = x.shape[axis]
    parts = [b.slice(x, axis, 0, begin), src, b.slice(x, axis, after, size)]
    return b.concat([part for part in parts if part.shape[axis] != 0], axis)


@lowers(aten.diagonal_scatter.default)
def diagonal_scatter(
    b: Builder, x: Value, src: Value, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Value:
    """diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor"""
    last = x.rank - 2
    matrix = [axis_of(dim1, x.rank), axis_of(dim2, x.rank)]
    order = [*(a for a in range(x.rank) if a not in matrix), *matrix]
    y = b.transpose(x, order)
    flat = b.reshape(y, [*y.shape[:last], volume(y.shape[last:])])
    place = diagonal_positions(b, y.shape[-1], offset, src.shape[-1])
    written = b.reshape(_written(b, flat, last, place, b.cast(src, x.dtype)), y.shape)
    return b.transpose(written, [order.index(a) for a in range(x.rank)])


@lowers(aten.copy.default)
def copy(b: Builder, x: Value, src: Value, non_blocking: bool = False) -> Value:
    """copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor"""
    return b.broadcast(b.cast(src, x.dtype), x.shape)


# Elements at positions that a tensor names.


@lowers(aten.scatter.src)
def scatter(b: Builder, x: Value, dim: int, index: Value, src: Value) -> Value:
    """scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"""
    return _scattered(b, x, dim, index, src)


@lowers(aten.scatter.value)
def scatter_value(b: Builder, x: Value, dim: int, index: Value, value: Operand) -> Value:
    """scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor"""
    return _scattered(b, x, dim, index, value)


@lowers(aten.scatter.reduce)
def scatter_reduction(
    b: Builder, x: Value, dim: int, index: Value, src: Value, reduce: str
) -> Value:
    """scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor"""
    return _scattered(b, x, dim, index, src, _REDUCTIONS[reduce])


@lowers(aten.scatter_add.default)
def scatter_add(b: Builder, x: Value, dim: int, index: Value, src: Value) -> Value:
    """scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"""
    return _scattered(b, x, dim, index, src, "add")


@lowers(aten.scatter_reduce.two)
def scatter_reduce(
    b: Builder,
    x: Value,
    dim: int,
    index: Value,
    src: Value,
    reduce: str,
    include_self: bool = True,
) -> Value:
    """scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *,
    bool include_self=True) -> Tensor
    """
    require(x.dtype != torch.bool, "tract reduces numbers only")
    one, zero = b.full(1, x.dtype, index.shape), b.full(0, x.dtype, x.shape)
    counts = b.full(1, x.dtype, x.shape)
    if not include_self:
        written = b.cast(_scattered(b, zero, dim, index, one), torch.bool)
        x = b.where(written, b.scalar(_neutral(reduce, x.dtype), x.dtype), x)
        counts = b.where(written, zero, counts)
    total = _scattered(b, x, dim, index, src, _REDUCTIONS[reduce])
    if reduce != "mean":
        return total
    counts = _scattered(b, counts, dim, index, one, "add")
    return div_mode(b, total, counts, None if x.dtype.is_floating_point else "floor")


def _neutral(reduce: str, dtype: torch.dtype) -> float | int:
    """The number that changes nothing in a reduction."""
    if reduce not in ("amax", "amin"):
        return int(reduce == "prod")
    if dtype.is_floating_point:
        return -math.inf if reduce == "amax" else math.inf
    limits = torch.iinfo(dtype)
    return int(limits.min if reduce == "amax" else limits.max)


#: tract's names of the reductions of PyTorch's scatters.
_REDUCTIONS = {
    "add": "add",
    "sum": "add",
    "multiply": "mul",
    "prod": "mul",
    "mean": "add",
    "amax": "max",
    "amin": "min",
}


def _scattered(
    b: Builder, x: Value, dim: int, index: Value, src: Operand, reduction: str | None = None
) -> Value:
    require(x.rank > 0, "tract has no scatter into a tensor of rank 0")
    axis = axis_of(dim, x.rank)
    src = b.tensor(src, x.dtype)
    if src.rank == 0:
        src = b.broadcast(src, index.shape)
    for a, size in enumerate(index.shape):  # PyTorch ignores what the index does not reach
        src = b.slice(src, a, 0, size)
    return b.emit("tract_core_scatter_elements", x, index, src, axis=axis, reduction=reduction)


@lowers(aten.index_add.default)
def index_add(
    b: Builder, x: Value, dim: int, index: Value, source: Value, alpha: Operand = 1
) -> Value:
    """index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor"""
    if alpha != 1:
        source = b.binary("mul", source, b.scalar(alpha, source.dtype))
    return _written(b, x, dim, index, source, "add")


@lowers(aten.index_copy.default)
def index_copy(b: Builder, x: Value, dim: int, index: Value, source: Value) -> Value:
    """index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor"""
    return _written(b, x, dim, index, source)


@lowers(aten.index_fill.int_Scalar, aten.index_fill.int_Tensor)
def index_fill(b: Builder, x: Value, dim: int, index: Value, value: Operand) -> Value:
    """index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor"""
    index = from_start(b, index, x.shape[axis_of(dim, x.rank)] if x.rank else 1)
    return _written(b, x, dim, index, b.tensor(value, x.dtype))


def _written(
    b: Builder, x: Value, dim: int, index: Value, src: Value, reduction: str | None = None
) -> Value:
    """The tensor with slices of an axis replaced by those of another tensor, or reduced."""
    if x.rank == 0:
        return b.reshape(_written(b, b.reshape(x, [1]), 0, index, src, reduction), [])
    axis = axis_of(dim, x.rank)
    index = b.reshape(index, [volume(index.shape)])
    shape = [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]]
    if src.rank < x.rank and src.rank > 0:
        src = b.reshape(src, shape)
    order = [axis, *(a for a in range(x.rank) if a != axis)]
    back = [order.index(a) for a in range(x.rank)]
    rows = b.transpose(b.broadcast(src, shape), order)
    written = b.emit(
        "tract_core_scatter_nd",
        b.transpose(x, order),
        b.unsqueeze(index, [1]),
        rows,
        reduction=reduction,
    )
    return b.transpose(written, back)


# Assignments to an indexed tensor: `x[i] = y`.


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
    written = _written(b, flat, 0, position, rows, "add" if accumulate else None)
    order = [*axes, *(a for a in range(x.rank) if a not in axes)]
    return b.transpose(b.reshape(written, front.shape), [order.index(a) for a in range(x.rank)])


def _put_by_mask(
    b: Builder, x: Value, axis: int, mask: Value, values: Value, accumulate: bool
) -> Value:
    """A number written to, or added at, the elements that a mask picks from an axis on."""
    require(volume(values.shape) == 1, "a mask picks as many elements as its values say")
    values = b.reshape(values, [])
    if accumulate:
        values = b.binary("add", x, values)
    behind = range(mask.rank, x.rank - axis)
    return b.where(b.unsqueeze(mask, list(behind)), values, x)


@lowers(aten.masked_scatter.default)
def masked_scatter(b: Builder, x: Value, mask: Value, source: Value) -> Value:
    """masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor"""
    shape = broadcast_shapes(x.shape, mask.shape)
    mask = b.broadcast(mask, shape)
    flat = b.cast(b.reshape(mask, [volume(shape)]), torch.int64)
    count = b.emit("tract_core_cumsum", flat, axis=0, exclusive=True, reverse=False)
    # Elements that the mask leaves out take any: there are more of them than sources.
    last = b.scalar(size_of(sympy.sympify(volume(source.shape)) - 1), torch.int64)
    place = b.reshape(b.binary("min", count, last), shape)
    source = b.reshape(source, [volume(source.shape)])
    values = b.emit("tract_core_gather", source, place, axis=0, like=source.of(shape=shape))
    return b.where(mask, values, b.broadcast(x, shape))
