"""Tensors joined along an axis, and cut apart."""

from __future__ import annotations

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.shape import axis_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of

aten = torch.ops.aten


@lowers(aten.cat.default, aten.concat.default, aten.concatenate.default)
def cat(b: Builder, tensors: list[Value], dim: int = 0) -> Value:
    """cat(Tensor[] tensors, int dim=0) -> Tensor"""
    axis = axis_of(dim, b.result.rank)
    # Tensors of shape [0] join anything, by an old rule of PyTorch's.
    filled = [x for x in tensors if x.shape != (0,) and x.shape[axis] != 0]
    if not filled:
        return b.full(0, b.result.dtype, b.result.shape)
    return b.concat(b.promote(*filled, dtype=b.result.dtype), axis)


@lowers(aten.stack.default)
def stack(b: Builder, tensors: list[Value], dim: int = 0) -> Value:
    """stack(Tensor[] tensors, int dim=0) -> Tensor"""
    axis = axis_of(dim, b.result.rank)
    promoted = b.promote(*tensors, dtype=b.result.dtype)
    return b.concat([b.unsqueeze(x, [axis]) for x in promoted], axis)


@lowers(aten.split.Tensor, aten.unsafe_split.Tensor)
def split(b: Builder, x: Value, split_size: Size, dim: int = 0) -> tuple[Value, ...]:
    """split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]"""
    return _parts(b, x, dim)


@lowers(aten.split.sizes)
def split_sizes(b: Builder, x: Value, split_size: list[Size], dim: int = 0) -> tuple[Value, ...]:
    """split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]"""
    return _parts(b, x, dim)


@lowers(
    aten.split_with_sizes.default,
    aten.split_with_sizes_copy.default,
    aten.unsafe_split_with_sizes.default,
)
def split_with_sizes(
    b: Builder, x: Value, split_sizes: list[Size], dim: int = 0
) -> tuple[Value, ...]:
    """split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]"""
    return _parts(b, x, dim)


@lowers(aten.chunk.default, aten.unsafe_chunk.default)
def chunk(b: Builder, x: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    """chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]"""
    return _parts(b, x, dim)


@lowers(aten.tensor_split.sections)
def tensor_split(b: Builder, x: Value, sections: Size, dim: int = 0) -> tuple[Value, ...]:
    """tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> Tensor(a)[]"""
    return _parts(b, x, dim)


def _parts(b: Builder, x: Value, dim: int) -> tuple[Value, ...]:
    """Slices that follow each other, as long as torch's tracer gives them."""
    axis = axis_of(dim, x.rank)
    parts, begin = [], sympy.Integer(0)
    for like in b.results:
        end = begin + like.shape[axis]
        parts.append(b.slice(x, axis, size_of(begin), size_of(end)))
        begin = end
    return tuple(parts)


@lowers(aten.diff.default)
def diff(
    b: Builder,
    x: Value,
    n: int = 1,
    dim: int = -1,
    prepend: Value | None = None,
    append: Value | None = None,
) -> Value:
    """diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None)"""
    axis = axis_of(dim, x.rank)
    if n == 0:
        return x
    if 0 in b.result.shape:
        return b.full(0, b.result.dtype, b.result.shape)
    given = [part for part in (prepend, x, append) if part is not None]
    x = b.concat(b.promote(*given, dtype=b.result.dtype), axis)
    for _ in range(n):
        size = x.shape[axis]
        before = b.slice(x, axis, 0, size_of(sympy.sympify(size) - 1))
        after = b.slice(x, axis, 1, size)
        x = b.binary("tract_core_xor" if x.dtype == torch.bool else "sub", after, before)
    return x


@lowers(aten.unbind.int)
def unbind(b: Builder, x: Value, dim: int = 0) -> tuple[Value, ...]:
    """unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]"""
    axis = axis_of(dim, x.rank)
    slices = (b.slice(x, axis, i, i + 1) for i in range(len(b.results)))
    return tuple(b.squeeze(part, [axis]) for part in slices)
