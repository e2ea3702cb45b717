"""Tensors with some of their elements written over at given positions, as new tensors."""

from __future__ import annotations

from typing import Any

import sympy
import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import static_int
from torchtract.lower.ops.compare import isnan
from torchtract.lower.ops.index import bounds, from_start, position_of
from torchtract.lower.ops.shape import axis_of, diagonal_positions, integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of, volume

__all__ = ["REDUCTIONS", "scattered", "written"]

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
    return written(b, x, axis, b.binary("add", steps, b.scalar(begin, torch.int64)), src)


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
    result = b.reshape(written(b, flat, last, place, b.cast(src, x.dtype)), y.shape)
    return b.transpose(result, [order.index(a) for a in range(x.rank)])


@lowers(aten.copy.default)
def copy(b: Builder, x: Value, src: Value, non_blocking: bool = False) -> Value:
    """copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor"""
    return b.broadcast(b.cast(src, x.dtype), x.shape)


# Elements at positions that a tensor names.


@lowers(aten.scatter.src)
def scatter(b: Builder, x: Value, dim: int, index: Value, src: Value) -> Value:
    """scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"""
    return scattered(b, x, dim, index, src)


@lowers(aten.scatter.value)
def scatter_value(b: Builder, x: Value, dim: int, index: Value, value: Operand) -> Value:
    """scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor"""
    return scattered(b, x, dim, index, value)


@lowers(aten.scatter.reduce)
def scatter_reduction(
    b: Builder, x: Value, dim: int, index: Value, src: Value, reduce: str
) -> Value:
    """scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor"""
    return scattered(b, x, dim, index, src, REDUCTIONS[reduce])


@lowers(aten.scatter.value_reduce)
def scatter_number(
    b: Builder, x: Value, dim: int, index: Value, value: Operand, reduce: str
) -> Value:
    """scatter.value_reduce(Tensor self, int dim, Tensor index, Scalar value, *, str reduce)"""
    return scattered(b, x, dim, index, value, REDUCTIONS[reduce])


@lowers(aten.scatter_add.default)
def scatter_add(b: Builder, x: Value, dim: int, index: Value, src: Value) -> Value:
    """scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"""
    return scattered(b, x, dim, index, src, "add")


#: tract's names of the reductions of PyTorch's scatters.
REDUCTIONS = {
    "add": "add",
    "sum": "add",
    "multiply": "mul",
    "prod": "mul",
    "mean": "add",
    "amax": "max",
    "amin": "min",
}


#: The same on truth values, as 0 and 1.
_OF_TRUTH = {"add": "max", "mul": "min", "max": "max", "min": "min"}


def scattered(
    b: Builder, x: Value, dim: int, index: Value, src: Operand, reduction: str | None = None
) -> Value:
    """The tensor with elements replaced at the positions that an index names, or reduced."""
    if 0 in index.shape:
        return x
    if x.rank == 0:
        src = b.reshape(src, [1]) if isinstance(src, Value) else src
        one = scattered(b, b.reshape(x, [1]), 0, b.reshape(index, [1]), src, reduction)
        return b.reshape(one, [])
    axis = axis_of(dim, x.rank)
    src = b.tensor(src, x.dtype)
    if src.rank == 0:
        src = b.broadcast(src, index.shape)
    for a, size in enumerate(index.shape):  # PyTorch ignores what the index does not reach
        src = b.slice(src, a, 0, size)
    return _reduced(b, "tract_core_scatter_elements", x, index, src, reduction, axis=axis)


def _reduced(
    b: Builder, op: str, x: Value, index: Value, src: Value, reduction: str | None, **where: Any
) -> Value:
    """A scatter of tract's, which reduces numbers alone and leaves NaN out of extremes."""
    if reduction is None:
        return b.emit(op, x, index, src, **where)
    if x.dtype == torch.bool:
        x, src = b.cast(x, torch.uint8), b.cast(src, torch.uint8)
        reduced = b.emit(op, x, index, src, reduction=_OF_TRUTH[reduction], **where)
        return b.cast(reduced, torch.bool)
    reduced = b.emit(op, x, index, src, reduction=reduction, **where)
    if reduction not in ("max", "min") or not x.dtype.is_floating_point:
        return reduced
    none, nan = b.full(0, torch.uint8, x.shape), b.cast(isnan(b, src), torch.uint8)
    nan = b.cast(b.emit(op, none, index, nan, reduction="max", **where), torch.bool)
    return b.where(nan, b.scalar(torch.nan, x.dtype), reduced)


@lowers(aten.index_add.default)
def index_add(
    b: Builder, x: Value, dim: int, index: Value, source: Value, alpha: Operand = 1
) -> Value:
    """index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor"""
    if alpha != 1:
        source = b.binary("mul", source, b.scalar(alpha, source.dtype))
    return written(b, x, dim, index, source, "add")


@lowers(aten.index_copy.default)
def index_copy(b: Builder, x: Value, dim: int, index: Value, source: Value) -> Value:
    """index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor"""
    return written(b, x, dim, index, source)


@lowers(aten.index_fill.int_Scalar, aten.index_fill.int_Tensor)
def index_fill(b: Builder, x: Value, dim: int, index: Value, value: Operand) -> Value:
    """index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor"""
    index = from_start(b, index, x.shape[axis_of(dim, x.rank)] if x.rank else 1)
    return written(b, x, dim, index, b.tensor(value, x.dtype))


def written(
    b: Builder, x: Value, dim: int, index: Value, src: Operand, reduction: str | None = None
) -> Value:
    """The tensor with slices of an axis replaced by those of another tensor, or reduced."""
    src = b.tensor(src, x.dtype)
    if x.rank == 0:
        return b.reshape(written(b, b.reshape(x, [1]), 0, index, src, reduction), [])
    axis = axis_of(dim, x.rank)
    index = b.reshape(index, [volume(index.shape)])
    shape = [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]]
    if 0 in shape:
        return x
    if src.rank < x.rank and src.rank > 0:
        src = b.reshape(src, shape)
    order = [axis, *(a for a in range(x.rank) if a != axis)]
    back = [order.index(a) for a in range(x.rank)]
    rows = b.transpose(b.broadcast(src, shape), order)
    places = b.unsqueeze(index, [1])
    onto = b.transpose(x, order)
    return b.transpose(_reduced(b, "tract_core_scatter_nd", onto, places, rows, reduction), back)
