"""How many elements lie between edges."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.ops.division import div
from torchtract.lower.ops.scatter import written
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, size_of, volume

aten = torch.ops.aten


@lowers(aten.histc.default)
def histc(b: Builder, x: Value, bins: int = 100, min: float = 0, max: float = 0) -> Value:
    """histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor"""
    require(min < max, "its range depends on the data; give min and max")
    require(x.dtype == torch.float32, "its divisions are exact in float32 alone")
    low, high = (b.scalar(number, x.dtype) for number in (min, max))
    width = torch.tensor(max, dtype=x.dtype) - torch.tensor(min, dtype=x.dtype)
    x = b.reshape(x, [volume(x.shape)])
    inside = b.binary("ge", x, low, torch.bool)
    inside = b.binary("and", inside, b.binary("le", x, high, torch.bool))
    scaled = b.binary("mul", b.binary("sub", x, low), b.scalar(bins, x.dtype))
    # Of float64, since tract multiplies by the reciprocal.
    wide = b.scalar(width.item(), torch.float64)
    place = b.cast(b.binary("div", b.cast(scaled, wide.dtype), wide), x.dtype)
    place = b.where(inside, place, b.scalar(0, x.dtype))
    last = b.scalar(bins - 1, torch.int64)
    place = b.binary("min", b.cast(place, torch.int64), last)
    return _counted(b, place, inside, bins, None)


@lowers(aten.histogram.bin_ct)
def histogram(
    b: Builder,
    x: Value,
    bins: int = 100,
    range: list[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> tuple[Value, Value]:
    """histogram.bin_ct(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None,
    bool density=False) -> (Tensor hist, Tensor bin_edges)
    """
    if range is None or range[0] == range[1]:
        raise Refusal("its range depends on the data; give range")
    edges = torch.linspace(range[0], range[1], bins + 1, dtype=x.dtype)
    return histogram_between(b, x, b.constant(edges), weight, density)


@lowers(aten.histogram.bins_tensor)
def histogram_between(
    b: Builder, x: Value, bins: Value, weight: Value | None = None, density: bool = False
) -> tuple[Value, Value]:
    """histogram.bins_tensor(Tensor self, Tensor bins, *, Tensor? weight=None,
    bool density=False) -> (Tensor hist, Tensor bin_edges)
    """
    count = size_of(bins.shape[0])
    require(isinstance(count, int) and count > 1, "its number of bins is a symbol")
    assert isinstance(count, int)
    x = b.reshape(x, [volume(x.shape)])
    low, high = (b.squeeze(b.slice(bins, 0, at, at + 1), [0]) for at in (0, count - 1))
    inside = b.binary("ge", x, low, torch.bool)
    inside = b.binary("and", inside, b.binary("le", x, high, torch.bool))
    passed = b.binary("ge", b.unsqueeze(x, [1]), bins, torch.bool)
    place = b.reduce("sum_reduce", b.cast(passed, torch.int64), [1])
    place = b.binary("sub", place, b.scalar(1, torch.int64))
    place = b.binary("min", place, b.scalar(count - 2, torch.int64))
    flat = None if weight is None else b.reshape(weight, x.shape)
    found = _counted(b, place, inside, count - 1, flat)
    if density:
        widths = b.binary("sub", b.slice(bins, 0, 1, count), b.slice(bins, 0, 0, count - 1))
        total = b.reduce("sum_reduce", found, [0])
        found = div(b, found, b.binary("mul", total, widths))
    return found, bins


def _counted(b: Builder, place: Value, inside: Value, bins: int, weight: Value | None) -> Value:
    """How many elements, or how much weight, each bin has. One bin more takes those outside."""
    dtype = b.results[0].dtype
    if 0 in place.shape:
        return b.full(0, dtype, [bins])
    place = b.where(inside, place, b.scalar(bins, torch.int64))
    ones = b.scalar(1, dtype) if weight is None else b.cast(weight, dtype)
    zeros = b.full(0, dtype, [bins + 1])
    return b.slice(written(b, zeros, 0, place, ones, "add"), 0, 0, bins)
