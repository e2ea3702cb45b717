"""Tensors in other shapes: views, axes in another order, repeats, windows."""

from __future__ import annotations

from collections.abc import Sequence

import sympy
import torch
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.registry import lowers
from torchtract.lower.simplify import least
from torchtract.lower.value import Size, Value, size_of, volume

__all__ = ["axis_of", "diagonal_of", "diagonal_positions", "every", "integers", "windows"]

aten = torch.ops.aten


def axis_of(dim: int, rank: int) -> int:
    """An axis counted from the start. A tensor of rank 0 counts as one of rank 1."""
    return dim % max(rank, 1)


def integers(b: Builder, count: Size) -> Value:
    """The numbers 0, 1 ... before `count`."""
    return b.range(0, count, 1, count)


def every(b: Builder, x: Value, axis: int, begin: Size, end: Size, step: int) -> Value:
    """Elements `begin, begin + step ...` before `end` along an axis; backwards for steps < 0.

    A gather: tract's own operator for it, Downsample, can't follow a reshape (0.23.9).
    """
    span = sympy.sympify(end - begin if step > 0 else begin - end)
    count = size_of(FloorDiv(span + abs(step) - 1, abs(step)))
    positions = b.range(begin, end, step, count)
    like = x.of(shape=[*x.shape[:axis], count, *x.shape[axis + 1 :]])
    return b.emit("tract_core_gather", x, positions, axis=axis, like=like)


# The same elements in another shape.


@lowers(aten.view.default, aten._unsafe_view.default)
def view(b: Builder, x: Value, size: list[Size]) -> Value:
    """view(Tensor(a) self, SymInt[] size) -> Tensor(a)"""
    return b.reshape(x, _without_minus_one(size, b.result.shape))


@lowers(aten.reshape.default)
def reshape(b: Builder, x: Value, shape: list[Size]) -> Value:
    """reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)"""
    return b.reshape(x, _without_minus_one(shape, b.result.shape))


@lowers(aten.view_as.default, aten.reshape_as.default)
def view_as(b: Builder, x: Value, other: Value) -> Value:
    """view_as(Tensor(a) self, Tensor other) -> Tensor(a)"""
    return b.reshape(x, other.shape)


@lowers(aten.flatten.using_ints)
def flatten(b: Builder, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)"""
    return b.reshape(x, b.result.shape)


@lowers(aten.unflatten.int)
def unflatten(b: Builder, x: Value, dim: int, sizes: list[Size]) -> Value:
    """unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)"""
    return b.reshape(x, b.result.shape)


@lowers(
    aten.ravel.default, aten.atleast_1d.default, aten.atleast_2d.default, aten.atleast_3d.default
)
def ravel(b: Builder, x: Value) -> Value:
    """ravel(Tensor(a) self) -> Tensor(a)"""
    return b.reshape(x, b.result.shape)


def _without_minus_one(sizes: Sequence[Size], traced: Sequence[Size]) -> list[Size]:
    """The sizes that the user gave: torch's tracer may know one by a lengthier expression."""
    return [known if size == -1 else size for size, known in zip(sizes, traced, strict=True)]


@lowers(aten.unsqueeze.default)
def unsqueeze(b: Builder, x: Value, dim: int) -> Value:
    """unsqueeze(Tensor(a) self, int dim) -> Tensor(a)"""
    return b.unsqueeze(x, [dim % (x.rank + 1)])


@lowers(aten.squeeze.default)
def squeeze(b: Builder, x: Value) -> Value:
    """squeeze(Tensor(a) self) -> Tensor(a)"""
    return _squeezed(b, x, range(x.rank))


@lowers(aten.squeeze.dim)
def squeeze_dim(b: Builder, x: Value, dim: int) -> Value:
    """squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)"""
    return _squeezed(b, x, [dim] if x.rank else [])


@lowers(aten.squeeze.dims)
def squeeze_dims(b: Builder, x: Value, dim: list[int]) -> Value:
    """squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)"""
    return _squeezed(b, x, dim if x.rank else [])


def _squeezed(b: Builder, x: Value, dims: Sequence[int]) -> Value:
    axes = [axis_of(dim, x.rank) for dim in dims]
    for axis in axes:
        size = x.shape[axis]
        require(
            isinstance(size, int) or sympy.Eq(size, 1) == sympy.false or least(size, b.bounds) > 1,
            f"axis {axis} has the size {size}, and the result would have another rank "
            f"where that is 1; name the axes to squeeze, or assert {size} >= 2",
        )
    return b.squeeze(x, [axis for axis in axes if x.shape[axis] == 1])


# Axes in another order.


@lowers(aten.permute.default)
def permute(b: Builder, x: Value, dims: list[int]) -> Value:
    """permute(Tensor(a) self, int[] dims) -> Tensor(a)"""
    return b.transpose(x, [axis_of(dim, x.rank) for dim in dims])


@lowers(aten.transpose.int, aten.swapdims.default)
def transpose(b: Builder, x: Value, dim0: int, dim1: int) -> Value:
    """transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)"""
    return _swapped(b, x, dim0, dim1)


@lowers(aten.swapaxes.default)
def swapaxes(b: Builder, x: Value, axis0: int, axis1: int) -> Value:
    """swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)"""
    return _swapped(b, x, axis0, axis1)


@lowers(aten.mT.default)
def matrix_transpose(b: Builder, x: Value) -> Value:
    """mT(Tensor(a) self) -> Tensor(a)"""
    return _swapped(b, x, -2, -1)


@lowers(aten.mH.default, aten.adjoint.default)
def adjoint(b: Builder, x: Value) -> Value:
    """mH(Tensor(a) self) -> Tensor(a)"""
    require(not x.dtype.is_complex, "tract has no conjugate of complex numbers")
    return _swapped(b, x, -2, -1)


@lowers(aten.t.default, aten.numpy_T.default)
def t(b: Builder, x: Value) -> Value:
    """t(Tensor(a) self) -> Tensor(a)"""
    return b.transpose(x, list(reversed(range(x.rank))))


def _swapped(b: Builder, x: Value, dim0: int, dim1: int) -> Value:
    if x.rank == 0:
        return x
    order = list(range(x.rank))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return b.transpose(x, order)


@lowers(aten.movedim.int, aten.moveaxis.int)
def movedim(b: Builder, x: Value, source: int, destination: int) -> Value:
    """movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)"""
    return _moved(b, x, [source], [destination])


@lowers(aten.movedim.intlist, aten.moveaxis.intlist)
def movedim_list(b: Builder, x: Value, source: list[int], destination: list[int]) -> Value:
    """movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)"""
    return _moved(b, x, source, destination)


def _moved(b: Builder, x: Value, source: Sequence[int], destination: Sequence[int]) -> Value:
    place = {
        axis_of(d, x.rank): axis_of(s, x.rank) for s, d in zip(source, destination, strict=True)
    }
    others = (axis for axis in range(x.rank) if axis not in place.values())
    return b.transpose(x, [place[a] if a in place else next(others) for a in range(x.rank)])


# Repeated along axes.


@lowers(aten.expand.default)
def expand(b: Builder, x: Value, size: list[Size], implicit: bool = False) -> Value:
    """expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)"""
    return b.broadcast(x, b.result.shape)


@lowers(aten.broadcast_to.default)
def broadcast_to(b: Builder, x: Value, size: list[Size]) -> Value:
    """broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)"""
    return b.broadcast(x, b.result.shape)


@lowers(aten.expand_as.default)
def expand_as(b: Builder, x: Value, other: Value) -> Value:
    """expand_as(Tensor(a) self, Tensor other) -> Tensor(a)"""
    return b.broadcast(x, b.result.shape)


@lowers(aten.meshgrid.default)
def meshgrid(b: Builder, tensors: list[Value]) -> tuple[Value, ...]:
    """meshgrid(Tensor[] tensors) -> Tensor[]"""
    return meshgrid_indexing(b, tensors, "ij")


@lowers(aten.meshgrid.indexing)
def meshgrid_indexing(b: Builder, tensors: list[Value], indexing: str) -> tuple[Value, ...]:
    """meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]"""
    rank = len(tensors)
    axes = list(range(rank))
    if indexing == "xy" and rank > 1:
        axes[0], axes[1] = 1, 0
    grids = []
    for axis, x, like in zip(axes, tensors, b.results, strict=True):
        alone = [like.shape[a] if a == axis else 1 for a in range(rank)]
        grids.append(b.broadcast(b.reshape(x, alone), like.shape))
    return tuple(grids)


@lowers(aten.repeat.default)
def repeat(b: Builder, x: Value, repeats: list[Size]) -> Value:
    """repeat(Tensor self, SymInt[] repeats) -> Tensor"""
    return _tiled(b, x, repeats)


@lowers(aten.tile.default)
def tile(b: Builder, x: Value, dims: list[Size]) -> Value:
    """tile(Tensor self, SymInt[] dims) -> Tensor"""
    return _tiled(b, x, [1] * (x.rank - len(dims)) + list(dims))


def _tiled(b: Builder, x: Value, repeats: Sequence[Size]) -> Value:
    x = b.unsqueeze(x, list(range(len(repeats) - x.rank)))
    if all(size == 1 or count == 1 for size, count in zip(x.shape, repeats, strict=True)):
        return b.broadcast(x, b.result.shape)
    return b.emit("tile", x, list(repeats), like=b.result)


@lowers(aten.repeat_interleave.self_int)
def repeat_interleave(
    b: Builder, x: Value, repeats: Size, dim: int | None = None, output_size: Size | None = None
) -> Value:
    """repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *,
    SymInt? output_size=None) -> Tensor
    """
    if dim is None or x.rank == 0:
        x, dim = b.reshape(x, [volume(x.shape)]), 0
    axis = axis_of(dim, x.rank)
    each = b.unsqueeze(x, [axis + 1])
    shape = [*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]]
    return b.reshape(b.broadcast(each, shape), b.result.shape)


# Elements in another order, and windows of them.


@lowers(aten.flip.default)
def flip(b: Builder, x: Value, dims: list[int]) -> Value:
    """flip(Tensor self, int[] dims) -> Tensor"""
    for dim in dims if x.rank else []:
        axis = axis_of(dim, x.rank)
        x = every(b, x, axis, size_of(sympy.sympify(x.shape[axis] - 1)), -1, -1)
    return x


@lowers(aten.roll.default)
def roll(b: Builder, x: Value, shifts: list[Size], dims: list[int] | None = None) -> Value:
    """roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor"""
    if not dims:
        flat = b.reshape(x, [volume(x.shape)])
        return b.reshape(_rolled(b, flat, shifts[0], 0), x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        x = _rolled(b, x, shift, axis_of(dim, x.rank))
    return x


def _rolled(b: Builder, x: Value, shift: Size, axis: int) -> Value:
    size = x.shape[axis]
    if isinstance(size, int) and isinstance(shift, int):
        cut = -shift % max(size, 1)
        parts = [b.slice(x, axis, cut, size), b.slice(x, axis, 0, cut)] if cut else [x]
        return b.concat(parts, axis)
    # A shift may be any number of times around. Positions below zero count from the end.
    whole = b.scalar(size, torch.int64)
    place = b.binary("sub", integers(b, size), b.scalar(shift, torch.int64))
    around = b.binary("mul", b.binary("div", place, whole), whole)
    return b.emit("tract_core_gather", x, b.binary("sub", place, around), axis=axis, like=x)


@lowers(aten.unfold.default)
def unfold(b: Builder, x: Value, dimension: int, size: int, step: int) -> Value:
    """unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)"""
    if x.rank == 0:
        return b.broadcast(x, [size])
    axis = axis_of(dimension, x.rank)
    gathered = windows(b, x, axis, size, step, b.result.shape[axis])
    order = [a for a in range(gathered.rank) if a != axis + 1]
    return b.transpose(gathered, [*order, axis + 1])


def windows(b: Builder, x: Value, axis: int, size: int, step: int, count: Size) -> Value:
    """`count` windows of an axis, which becomes two: [..., count, size, ...]."""
    first = b.unsqueeze(integers(b, count), [1])
    starts = b.binary("mul", first, b.scalar(step, torch.int64))
    index = b.binary("add", starts, integers(b, size))
    like = x.of(shape=[*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    return b.emit("tract_core_gather", x, index, axis=axis, like=like)


@lowers(aten.diagonal.default)
def diagonal(b: Builder, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    """diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)"""
    matrix = axis_of(dim1, x.rank), axis_of(dim2, x.rank)
    return diagonal_of(b, x, matrix, offset, b.result.shape[-1])


def diagonal_of(
    b: Builder, x: Value, matrix: tuple[int, int], offset: int = 0, count: Size | None = None
) -> Value:
    """So many elements of a diagonal of two axes, all if not told, as the last axis."""
    count = x.shape[matrix[0]] if count is None else count
    last = x.rank - 2
    x = b.transpose(x, [*(a for a in range(x.rank) if a not in matrix), *matrix])
    flat = b.reshape(x, [*x.shape[:last], volume(x.shape[last:])])
    place = diagonal_positions(b, x.shape[-1], offset, count)
    like = x.of(shape=[*x.shape[:last], count])
    return b.emit("tract_core_gather", flat, place, axis=last, like=like)


def diagonal_positions(b: Builder, width: Size, offset: int, count: Size) -> Value:
    """Where the elements of a diagonal are in a matrix of this width, row by row."""
    begin = offset if offset >= 0 else size_of(-offset * sympy.sympify(width))
    step = b.scalar(size_of(sympy.sympify(width) + 1), torch.int64)
    return b.binary("add", b.binary("mul", integers(b, count), step), b.scalar(begin, torch.int64))
