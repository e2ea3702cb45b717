"""Views that PyTorch takes of a tensor's memory, whatever its shape: elements by their distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.scatter import written
from torchtract.lower.ops.shape import integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of, volume

aten = torch.ops.aten


@lowers(aten.as_strided.default, of_storage=True)
def as_strided(
    b: Builder, x: Value, size: list[Size], stride: list[Size], storage_offset: Size | None = None
) -> Value:
    """as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None)"""
    if 0 in size:
        return b.full(0, x.dtype, size)
    flat = b.reshape(x, [volume(x.shape)])
    places = _places(b, size, stride, storage_offset)
    return b.emit("tract_core_gather", flat, places, axis=0, like=x.of(shape=size))


@lowers(aten.as_strided_scatter.default, of_storage=True)
def as_strided_scatter(
    b: Builder,
    x: Value,
    src: Value,
    size: list[Size],
    stride: list[Size],
    storage_offset: Size | None = None,
) -> Value:
    """as_strided_scatter(Tensor self, Tensor src, SymInt[] size, SymInt[] stride,
    SymInt? storage_offset=None) -> Tensor
    """
    count = volume(size)
    if count == 0:
        return x
    places = b.reshape(_places(b, size, stride, storage_offset), [count])
    src = b.reshape(b.broadcast(b.cast(src, x.dtype), size), [count])
    return b.reshape(written(b, b.reshape(x, [volume(x.shape)]), 0, places, src), x.shape)


def _places(b: Builder, size: Sequence[Size], stride: Sequence[Size], offset: Size | None) -> Value:
    """Where each element is in memory."""
    places = b.full(offset or 0, torch.int64, size)
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        along = b.binary("mul", integers(b, count), b.scalar(step, torch.int64))
        alone = [count if a == axis else 1 for a in range(len(size))]
        places = b.binary("add", places, b.reshape(along, alone))
    return places


@lowers(aten.resize.default, of_storage=True)
def resize(b: Builder, x: Value, size: list[Size]) -> Value:
    """resize(Tensor self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor"""
    return _resized(b, x, size)


@lowers(aten.resize_as.default, of_storage=True)
def resize_as(b: Builder, x: Value, the_template: Value) -> Value:
    """resize_as(Tensor self, Tensor the_template, *, MemoryFormat? memory_format=None)"""
    return _resized(b, x, the_template.shape)


def _resized(b: Builder, x: Value, size: Sequence[Size]) -> Value:
    """The first elements in another shape. What is missing is zero: PyTorch leaves it open."""
    count, wanted = volume(x.shape), volume(size)
    flat = b.reshape(x, [count])
    missing = size_of(sympy.Max(sympy.sympify(wanted) - count, 0))
    if missing != 0:
        flat = b.concat([flat, b.full(0, x.dtype, [missing])], 0)
    return b.reshape(b.slice(flat, 0, 0, wanted), size)


# Zero is as good a value as any for memory that nothing has been written to.
@lowers(aten.empty_strided.default)
def empty_strided(b: Builder, size: list[Size], stride: list[Size], dtype: Any = None) -> Value:
    """empty_strided(SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, ...) -> Tensor"""
    return b.full(0, b.result.dtype, b.result.shape)


@lowers(aten.new_empty_strided.default)
def new_empty_strided(
    b: Builder, x: Value, size: list[Size], stride: list[Size], dtype: Any = None
) -> Value:
    """new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, ...) -> Tensor"""
    return b.full(0, b.result.dtype, b.result.shape)


@lowers(aten.empty_permuted.default)
def empty_permuted(
    b: Builder, size: list[Size], physical_layout: list[int], dtype: Any = None
) -> Value:
    """empty_permuted(SymInt[] size, int[] physical_layout, *, ScalarType? dtype=None, ...)"""
    return b.full(0, b.result.dtype, b.result.shape)
