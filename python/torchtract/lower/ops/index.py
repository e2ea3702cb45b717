"""Parts of tensors by position: slices, gathers, and their counterparts that write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import Refusal, require, static_int
from torchtract.lower.ops.shape import axis_of, integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value, broadcast_shapes, size_of, volume

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
    SymInt step=1) -> Tensor(a)"""
    axis = axis_of(dim, x.rank)
    stride = static_int(step, "its step")
    begin, end = _bounds(x.shape[axis], start, b.result.shape[axis], stride)
    return b.slice(x, axis, begin, end, stride)


def _bounds(size: Size, start: Size | None, count: Size, step: int) -> tuple[Size, Size]:
    """First and last-but-one position of a slice that holds `count` elements.

    The count comes from torch's tracer, which knows how PyTorch moves ends that lie
    outside of the tensor; so the end follows from it, without a minimum in the file.
    """
    begin = _position(0 if start is None else start, size)
    if isinstance(begin, int) and isinstance(size, int):
        begin = min(max(begin, 0), size)
    if step == 1 or count == 0:
        return begin, size_of(begin + sympy.sympify(count))
    if size_of(FloorDiv(sympy.sympify(size - begin + step - 1), step)) == count:
        return begin, size  # all the way, as in `x[1::2]`
    return begin, size_of(begin + sympy.sympify(count - 1) * step + 1)


def _position(index: Size, size: Size) -> Size:
    """An index counted from the start of an axis of this size."""
    return size_of(sympy.sympify(size + index)) if _is_negative(index) else index


def _is_negative(index: Size) -> bool:
    """Whether an index counts from the end, for all sizes that the program was traced for."""
    if isinstance(index, int):
        return index < 0
    # Torch's tracer has fixed the sign; it is the one that the expression has at large sizes.
    large = index.subs({symbol: 2**40 for symbol in index.free_symbols})
    return bool(large < 0)


@lowers(aten.narrow.default)
def narrow(b: Builder, x: Value, dim: int, start: Size, length: Size) -> Value:
    """narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)"""
    axis = axis_of(dim, x.rank)
    begin = _position(start, x.shape[axis])
    return b.slice(x, axis, begin, size_of(begin + sympy.sympify(length)))


@lowers(aten.select.int)
def select(b: Builder, x: Value, dim: int, index: Size) -> Value:
    """select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)"""
    axis = axis_of(dim, x.rank)
    begin = _position(index, x.shape[axis])
    return b.squeeze(b.slice(x, axis, begin, size_of(begin + sympy.Integer(1))), [axis])


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
    SymInt step=1) -> Tensor"""
    axis = axis_of(dim, x.rank)
    stride = static_int(step, "its step")
    src = b.cast(src, x.dtype)
    begin, after = _bounds(x.shape[axis], start, src.shape[axis], stride)
    if stride == 1:
        return _spliced(b, x, src, axis, begin, after)
    steps = b.binary("mul", integers(b, src.shape[axis]), b.scalar(stride, torch.int64))
    return _written(b, x, axis, b.binary("add", steps, b.scalar(begin, torch.int64)), src)


@lowers(aten.select_scatter.default)
def select_scatter(b: Builder, x: Value, src: Value, dim: int, index: Size) -> Value:
    """select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor"""
    axis = axis_of(dim, x.rank)
    begin = _position(index, x.shape[axis])
    after = size_of(begin + sympy.Integer(1))
    return _spliced(b, x, b.unsqueeze(b.cast(src, x.dtype), [axis]), axis, begin, after)


def _spliced(b: Builder, x: Value, src: Value, axis: int, begin: Size, after: Size) -> Value:
    """The tensor with its elements from `begin` to `after` replaced."""
    size = x.shape[axis]
    parts = [b.slice(x, axis, 0, begin), src, b.slice(x, axis, after, size)]
    return b.concat([part for part in parts if part.shape[axis] != 0], axis)


@lowers(aten.copy.default)
def copy(b: Builder, x: Value, src: Value, non_blocking: bool = False) -> Value:
    """copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor"""
    return b.broadcast(b.cast(src, x.dtype), x.shape)


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
    x, index = (b.reshape(v, [1]) if v.rank == 0 else v for v in (x, index))
    like = x.of(shape=index.shape)
    axis = axis_of(dim, x.rank)
    elements = b.emit("tract_core_gather_elements", x, index, axis=axis, like=like)
    return b.reshape(elements, b.result.shape)


# Scatters.


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
    bool include_self=True) -> Tensor"""
    require(include_self, "it leaves out the elements of the tensor it writes to")
    require(reduce in _REDUCTIONS, f"tract has no scatter that takes the {reduce}")
    return _scattered(b, x, dim, index, src, _REDUCTIONS[reduce])


#: tract's names of the reductions of PyTorch's scatters.
_REDUCTIONS = {
    "add": "add",
    "sum": "add",
    "multiply": "mul",
    "prod": "mul",
    "amax": "max",
    "amin": "min",
}


def _scattered(
    b: Builder, x: Value, dim: int, index: Value, src: Operand, reduction: str = "none"
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
    return _written(b, x, dim, index, b.tensor(value, x.dtype))


def _written(
    b: Builder, x: Value, dim: int, index: Value, src: Value, reduction: str = "none"
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
    tuples = b.unsqueeze(_not_negative(b, index, x.shape[axis]), [1])
    written = b.emit(
        "tract_core_scatter_nd", b.transpose(x, order), tuples, rows, reduction=reduction
    )
    return b.transpose(written, back)


# Indexing by tensors: `x[i]`, `x[:, i, j]`, `x[i] = y`.


@lowers(aten.index.Tensor)
def index(b: Builder, x: Value, indices: list[Value | None]) -> Value:
    """index.Tensor(Tensor self, Tensor?[] indices) -> Tensor"""
    axes, places = _indexed_axes(indices)
    if len(axes) == 1:  # tract counts negative ones from the end itself
        return _gather(b, x, axes[0], places[0])
    if axes[-1] - axes[0] >= len(axes):
        x, axes = _front(b, x, axes), list(range(len(axes)))
    first, last = axes[0], axes[-1]
    merged = [*x.shape[:first], volume(x.shape[first : last + 1]), *x.shape[last + 1 :]]
    position = _linear_position(b, places, x.shape[first : last + 1])
    return _gather(b, b.reshape(x, merged), first, position)


@lowers(aten.index_put.default)
def index_put(
    b: Builder,
    x: Value,
    indices: list[Value | None],
    values: Value,
    accumulate: bool = False,
) -> Value:
    """index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor"""
    given = [i for i in indices if i is not None]
    if len(given) == 1 and given[0].dtype == torch.bool:
        return _put_by_mask(b, x, indices, given[0], values, accumulate)
    axes, places = _indexed_axes(indices)
    count = len(axes)
    index_shape = broadcast_shapes(*(p.shape for p in places))
    others = [size for a, size in enumerate(x.shape) if a not in axes]
    ahead = axes[0] if axes[-1] - axes[0] < count else 0
    values = b.broadcast(values, [*others[:ahead], *index_shape, *others[ahead:]])
    moved = [*range(ahead, ahead + len(index_shape)), *range(ahead)]
    values = b.transpose(values, [*moved, *range(len(moved), values.rank)])
    front = _front(b, x, axes)
    position = _linear_position(b, places, front.shape[:count])
    flat = b.reshape(front, [volume(front.shape[:count]), *others])
    rows = b.reshape(values, [volume(index_shape), *others])
    written = _written(b, flat, 0, position, rows, "add" if accumulate else "none")
    order = [*axes, *(a for a in range(x.rank) if a not in axes)]
    return b.transpose(
        b.reshape(written, front.shape), [order.index(a) for a in range(x.rank)]
    )


def _put_by_mask(
    b: Builder,
    x: Value,
    indices: list[Value | None],
    mask: Value,
    values: Value,
    accumulate: bool,
) -> Value:
    require(volume(values.shape) == 1, "a mask picks as many elements as its values say")
    values = b.reshape(values, [])
    if accumulate:
        values = b.binary("add", x, values)
    behind = x.rank - len(indices) + 1 - mask.rank
    aligned = b.unsqueeze(mask, list(range(mask.rank, mask.rank + behind)))
    return b.where(aligned, values, x)


def _indexed_axes(indices: Sequence[Value | None]) -> tuple[list[int], list[Value]]:
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    places = [index for index in indices if index is not None]
    for place in places:
        require(
            place.dtype not in (torch.bool, torch.uint8),
            "a mask picks as many elements as its values say, and tract needs to know "
            "shapes ahead of a run",
        )
    return axes, places


def _front(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    return b.transpose(x, [*axes, *(a for a in range(x.rank) if a not in axes)])


def _linear_position(b: Builder, places: Sequence[Value], sizes: Sequence[Size]) -> Value:
    """Positions along several axes as one along the axis that merges them."""
    linear = _not_negative(b, places[0], sizes[0])
    for place, size in zip(places[1:], sizes[1:], strict=True):
        rows = b.binary("mul", linear, b.scalar(size, torch.int64))
        linear = b.binary("add", rows, _not_negative(b, place, size))
    return linear


def _not_negative(b: Builder, index: Value, size: Size) -> Value:
    """Positions counted from the start, where negative ones count from the end."""
    index = b.cast(index, torch.int64)
    if index.data is not None and isinstance(size, int):
        return b.constant(torch.where(index.data < 0, index.data + size, index.data))
    from_end = b.binary("add", index, b.scalar(size, torch.int64))
    negative = b.binary("lt", index, b.scalar(0, torch.int64), torch.bool)
    return b.where(negative, from_end, index)
