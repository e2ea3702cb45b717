"""Histograms: how many elements, or what weight of them, lies in each bin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of, volume

aten = torch.ops.aten


@lowers(aten.histc.default)
def histc(b: Builder, x: Value, bins: int = 100, min: float = 0, max: float = 0) -> Value:
    """histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor"""
    # Behind divisions of float64, since tract multiplies by reciprocals.
    require(x.dtype == torch.float32, f"its divisions are not rounded in {x.dtype} as in PyTorch")
    flat = b.reshape(x, [volume(x.shape)])
    if flat.shape[0] == 0:
        return b.full(0, x.dtype, [bins])
    first, last = (
        b.scalar(given, x.dtype) if min != max else b.reduce(f"{which}_reduce", flat, [0])
        for which, given in (("min", min), ("max", max))
    )
    if min == max:
        same = b.binary("eq", first, last, torch.bool)
        apart = b.where(same, b.scalar(1, x.dtype), b.scalar(0, x.dtype))
        first, last = b.binary("sub", first, apart), b.binary("add", last, apart)
    inside = _inside(b, flat, first, last)
    # In the order of PyTorch's own formula, each step rounded as there.
    place = b.binary("mul", b.binary("sub", flat, first), b.scalar(bins, x.dtype))
    width = b.cast(b.binary("sub", last, first), torch.float64)
    place = b.cast(b.binary("div", b.cast(place, width.dtype), width), x.dtype)
    place = b.cast(b.where(inside, place, b.scalar(0, x.dtype)), torch.int64)
    place = b.binary("min", place, b.scalar(bins - 1, torch.int64))
    return _tally(b, place, inside, None, [bins], x.dtype)


def _inside(b: Builder, x: Value, first: Value, last: Value) -> Value:
    return b.binary(
        "and", b.binary("ge", x, first, torch.bool), b.binary("le", x, last, torch.bool)
    )


def _tally(
    b: Builder,
    place: Value,
    inside: Value,
    weight: Value | None,
    bins: Sequence[int],
    dtype: torch.dtype,
) -> Value:
    """The weight of what is inside, 1 for each where none is given, at each place."""
    total = math.prod(bins)
    each = b.full(1, dtype, place.shape) if weight is None else weight
    each = b.where(inside, each, b.scalar(0, dtype))
    place = b.where(inside, place, b.scalar(0, torch.int64))
    zeros = b.full(0, dtype, [total])
    counts = b.emit("tract_core_scatter_nd", zeros, b.unsqueeze(place, [1]), each, reduction="add")
    return b.reshape(counts, bins)


# Of one number.


@lowers(aten.histogram.bin_ct)
def histogram_bin_ct(
    b: Builder,
    x: Value,
    bins: int = 100,
    range: list[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> tuple[Value, Value]:
    """histogram.bin_ct(Tensor self, int bins=100, *, float[]? range=None, ...) -> ..."""
    flat = b.reshape(x, [volume(x.shape)])
    edges = _edges(b, flat, bins, range)
    return _histogram(b, flat, [edges], weight, density), edges


@lowers(aten.histogram.bins_tensor)
def histogram_bins_tensor(
    b: Builder, x: Value, bins: Value, weight: Value | None = None, density: bool = False
) -> tuple[Value, Value]:
    """histogram.bins_tensor(Tensor self, Tensor bins, *, Tensor? weight=None, ...) -> ..."""
    return _histogram(b, b.reshape(x, [volume(x.shape)]), [bins], weight, density), bins


def _edges(b: Builder, x: Value, bins: int, ends: Sequence[float] | None) -> Value:
    """The bins' edges, evenly spaced. PyTorch rounds each in a way that no formula here has."""
    if ends is None:
        require(x.shape[0] == 0, "its range depends on the data; give its range")
        ends = (0.0, 1.0)
    first, last = ends if ends[0] != ends[1] else (ends[0] - 0.5, ends[1] + 0.5)
    return b.constant(torch.linspace(first, last, bins + 1, dtype=x.dtype))


def _histogram(
    b: Builder, x: Value, edges: Sequence[Value], weight: Value | None, density: bool
) -> Value:
    """Of rows [n, dimensions], or of numbers [n] where there is one dimension."""
    bins: list[Size] = [size_of(e.shape[0] - 1) for e in edges]
    n = x.shape[0]
    place, inside = b.full(0, torch.int64, [n]), b.full(True, torch.bool, [n])
    for axis, (edge, count) in enumerate(zip(edges, bins, strict=True)):
        column = x if x.rank == 1 else b.squeeze(b.slice(x, 1, axis, axis + 1), [1])
        edge = b.cast(edge, x.dtype)
        first, last = (b.squeeze(b.slice(edge, 0, i, size_of(i + 1)), [0]) for i in (0, count))
        inside = b.binary("and", inside, _inside(b, column, first, last))
        begun = b.binary("ge", b.unsqueeze(column, [1]), edge, torch.bool)
        number = b.reduce("sum_reduce", b.cast(begun, torch.int64), [1])
        number = b.binary("sub", number, b.scalar(1, torch.int64))
        number = b.binary("min", number, b.scalar(size_of(count - 1), torch.int64))
        rows = b.binary("mul", place, b.scalar(count, torch.int64))
        place = b.binary("add", rows, number)
    weight = None if weight is None else b.reshape(weight, [n])
    counts = _tally(b, place, inside, weight, bins, x.dtype)
    return _density(b, counts, edges) if density else counts


def _density(b: Builder, counts: Value, edges: Sequence[Value]) -> Value:
    """Counts by the size of their bin, and by their sum."""
    axes = list(range(counts.rank))
    counts = b.binary("div", counts, b.reduce("sum_reduce", counts, axes))
    for axis, edge in enumerate(edges):
        count = edge.shape[0]
        ahead, behind = b.slice(edge, 0, 0, size_of(count - 1)), b.slice(edge, 0, 1, count)
        width = b.unsqueeze(b.binary("sub", behind, ahead), list(range(1, counts.rank - axis)))
        counts = b.binary("div", counts, width)
    return counts


# Of several numbers at once.


@lowers(aten._histogramdd_bin_edges.default)
def histogramdd_bin_edges(
    b: Builder,
    x: Value,
    bins: list[int],
    range: list[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> tuple[Value, ...]:
    """_histogramdd_bin_edges(Tensor self, int[] bins, *, float[]? range=None, ...) -> Tensor[]"""
    return tuple(_edges_of_rows(b, _as_rows(b, x), bins, range))


@lowers(aten._histogramdd_from_bin_cts.default)
def histogramdd_from_bin_cts(
    b: Builder,
    x: Value,
    bins: list[int],
    range: list[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> Value:
    """_histogramdd_from_bin_cts(Tensor self, int[] bins, *, float[]? range=None, ...) -> Tensor"""
    rows = _as_rows(b, x)
    return _histogram(b, rows, _edges_of_rows(b, rows, bins, range), weight, density)


@lowers(aten._histogramdd_from_bin_tensors.default)
def histogramdd_from_bin_tensors(
    b: Builder, x: Value, bins: list[Value], weight: Value | None = None, density: bool = False
) -> Value:
    """_histogramdd_from_bin_tensors(Tensor self, Tensor[] bins, *, ...) -> Tensor"""
    return _histogram(b, _as_rows(b, x), bins, weight, density)


def _as_rows(b: Builder, x: Value) -> Value:
    return b.reshape(x, [volume(x.shape[:-1]), x.shape[-1]])


def _edges_of_rows(
    b: Builder, rows: Value, bins: Sequence[int], ends: list[float] | None
) -> list[Value]:
    found = []
    for axis, count in enumerate(bins):
        column = b.squeeze(b.slice(rows, 1, axis, axis + 1), [1])
        given = None if ends is None else ends[2 * axis : 2 * axis + 2]
        found.append(_edges(b, column, count, given))
    return found
