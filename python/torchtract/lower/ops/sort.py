"""Sorting and what is read off sorted tensors: the k largest, medians, modes, places in order."""

from __future__ import annotations

from typing import Any

import sympy
import torch
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.ops.compare import isnan
from torchtract.lower.ops.shape import axis_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value, size_of, volume

__all__ = ["elements_at", "order_of"]

aten = torch.ops.aten

#: A number beyond all of float16 and float32.
_BEYOND_FLOAT32 = 1e300


# Orders.


def order_of(b: Builder, x: Value, axis: int, k: Size, descending: bool) -> Value:
    """Positions of the first `k` elements in order, equal ones as they stand, NaN the largest."""
    if x.dtype != torch.float64:
        return _first_positions(b, _key(b, x), axis, k, descending)
    # There is no number beyond infinity for NaN: a second sort by whether it is NaN.
    n, nan = x.shape[axis], isnan(b, x)
    numbers = b.where(nan, b.scalar(0, x.dtype), x)
    by_number = _first_positions(b, numbers, axis, n, descending)
    is_nan = b.cast(elements_at(b, nan, axis, by_number), torch.uint8)
    return elements_at(b, by_number, axis, _first_positions(b, is_nan, axis, k, descending))


def _key(b: Builder, x: Value) -> Value:
    """Numbers in the order of the elements, none of them NaN, of which tract has no order."""
    if x.dtype == torch.bool:
        return b.cast(x, torch.uint8)
    if not x.dtype.is_floating_point:
        return x
    nan, wide = isnan(b, x), b.cast(x, torch.float64)
    finite = b.binary("min", wide, b.scalar(_BEYOND_FLOAT32, wide.dtype))
    return b.where(nan, b.scalar(torch.inf, wide.dtype), finite)


def _first_positions(b: Builder, key: Value, axis: int, k: Size, largest: bool) -> Value:
    like = Fact(torch.int64, (*key.shape[:axis], k, *key.shape[axis + 1 :]))
    count = k if isinstance(k, int) else b.scalar(k, torch.int64)
    results = [key.of(shape=like.shape), like]
    positions = b.emit_many("tract_core_topk", key, count, axis, largest, results=results)[1]
    if isinstance(k, int):
        return positions
    # tract gives the axis a symbol of its own, as long as it doesn't know the number.
    return b.emit("tract_core_dyn_slice", positions, 0, k, k, axis, like=like)


def elements_at(b: Builder, x: Value, axis: int, positions: Value) -> Value:
    """The elements at these positions of an axis, which have the tensor's other axes."""
    like = x.of(shape=positions.shape)
    return b.emit("tract_core_gather_elements", x, positions, axis=axis, like=like)


def _taken(b: Builder, x: Value, axis: int, positions: Value, keepdim: bool) -> tuple[Value, Value]:
    """The elements at one position of an axis, and these positions."""
    values = elements_at(b, x, axis, positions)
    if keepdim:
        return values, positions
    return b.squeeze(values, [axis]), b.squeeze(positions, [axis])


def _with_an_axis(b: Builder, x: Value) -> Value:
    return b.unsqueeze(x, [0]) if x.rank == 0 else x


# Sorts.


@lowers(aten.sort.default)
def sort(b: Builder, x: Value, dim: int = -1, descending: bool = False) -> tuple[Value, Value]:
    """sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)"""
    return topk(b, x, x.shape[dim] if x.rank else 1, dim, descending)


@lowers(aten.sort.stable)
def sort_stable(
    b: Builder, x: Value, stable: bool | None, dim: int = -1, descending: bool = False
) -> tuple[Value, Value]:
    """sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> ..."""
    return sort(b, x, dim, descending)


@lowers(aten.topk.default)
def topk(
    b: Builder, x: Value, k: Size, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Value, Value]:
    """topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> ..."""
    axis = axis_of(dim, x.rank)
    x = _with_an_axis(b, x)
    positions = order_of(b, x, axis, k, largest)
    values = elements_at(b, x, axis, positions)
    return b.reshape(values, b.results[0].shape), b.reshape(positions, b.results[1].shape)


@lowers(aten.kthvalue.default)
def kthvalue(
    b: Builder, x: Value, k: Size, dim: int = -1, keepdim: bool = False
) -> tuple[Value, Value]:
    """kthvalue(Tensor self, SymInt k, int dim=-1, bool keepdim=False) -> ..."""
    scalar, axis = x.rank == 0, axis_of(dim, x.rank)
    x = _with_an_axis(b, x)
    below = size_of(sympy.sympify(k) - 1)
    positions = b.slice(order_of(b, x, axis, k, False), axis, below, k)
    return _taken(b, x, axis, positions, keepdim and not scalar)


# Medians.


def _register_median(packet: Any, skip_nan: bool) -> None:
    @lowers(packet.default)
    def of_all(b: Builder, x: Value) -> Value:
        flat = b.reshape(x, [volume(x.shape)])
        if flat.shape == (0,):
            return b.scalar(torch.nan, x.dtype)
        return _median(b, flat, 0, False, skip_nan)[0]

    @lowers(packet.dim)
    def along(b: Builder, x: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
        axis, keepdim = axis_of(dim, x.rank), keepdim and x.rank > 0
        return _median(b, _with_an_axis(b, x), axis, keepdim, skip_nan)


def _median(b: Builder, x: Value, axis: int, keepdim: bool, skip_nan: bool) -> tuple[Value, Value]:
    """The lower of two medians. NaN is the median of numbers with NaN, unless it is skipped."""
    n = x.shape[axis]
    order = order_of(b, x, axis, n, False)
    if not x.dtype.is_floating_point:
        middle = size_of(FloorDiv(sympy.sympify(n) - 1, 2))
        positions = b.slice(order, axis, middle, size_of(sympy.sympify(middle) + 1))
        return _taken(b, x, axis, positions, keepdim)
    nans = b.reduce("sum_reduce", b.cast(isnan(b, x), torch.int64), [axis], keepdim=True)
    numbers = b.binary("sub", b.scalar(n, torch.int64), nans)
    one, two = b.scalar(1, torch.int64), b.scalar(2, torch.int64)
    middle = b.binary("div", b.binary("sub", numbers, one), two)
    if not skip_nan:
        first_nan = b.binary("gt", nans, b.scalar(0, torch.int64), torch.bool)
        middle = b.where(first_nan, numbers, middle)
    return _taken(b, x, axis, elements_at(b, order, axis, middle), keepdim)


_register_median(aten.median, skip_nan=False)
_register_median(aten.nanmedian, skip_nan=True)


@lowers(aten.mode.default)
def mode(b: Builder, x: Value, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    scalar, axis = x.rank == 0, axis_of(dim, x.rank)
    x = _with_an_axis(b, b.cast(x, torch.uint8) if x.dtype == torch.bool else x)
    # In order, the first of the most frequent is the smallest of them.
    ordered = elements_at(b, x, axis, order_of(b, x, axis, x.shape[axis], False))
    pairs = b.binary(
        "eq", b.unsqueeze(ordered, [axis]), b.unsqueeze(ordered, [axis + 1]), torch.bool
    )
    counts = b.reduce("sum_reduce", b.cast(pairs, torch.int64), [axis])
    like = counts.of(shape=[*x.shape[:axis], 1, *x.shape[axis + 1 :]])
    first = b.emit("argmax_reduce", counts, axes=[axis], like=like)
    same = b.binary("eq", x, elements_at(b, ordered, axis, first), torch.bool)
    last = b.emit(
        "tract_core_argmax_reduce_last", b.cast(same, torch.uint8), axes=[axis], like=like
    )
    values, places = _taken(b, x, axis, last, keepdim and not scalar)
    return b.cast(values, b.results[0].dtype), places


# Places in sorted tensors.


@lowers(aten.searchsorted.Tensor, aten.searchsorted.Scalar)
def searchsorted(
    b: Builder,
    sorted_sequence: Value,
    x: Operand,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Value | None = None,
) -> Value:
    """searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, ...)"""
    sequence = sorted_sequence
    if sorter is not None:
        sequence = elements_at(b, sequence, sequence.rank - 1, sorter)
    return _count_ahead(b, sequence, x, right or side == "right")


@lowers(aten.bucketize.Tensor, aten.bucketize.Scalar)
def bucketize(
    b: Builder, x: Operand, boundaries: Value, out_int32: bool = False, right: bool = False
) -> Value:
    """bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, ...) -> Tensor"""
    return _count_ahead(b, boundaries, x, right)


def _count_ahead(b: Builder, sequence: Value, x: Operand, right: bool) -> Value:
    """How many of a sorted sequence come before each number; NaN comes after all of them."""
    sequence, x = b.promote(sequence, x)
    rows = b.unsqueeze(x, [x.rank])
    if sequence.rank > 1:
        sequence = b.unsqueeze(sequence, [sequence.rank - 1])
    behind = b.binary("gt" if right else "ge", sequence, rows, torch.bool)
    ahead = b.cast(b.emit("not", behind), torch.int64)
    return b.cast(b.reduce("sum_reduce", ahead, [ahead.rank - 1]), b.result.dtype)
