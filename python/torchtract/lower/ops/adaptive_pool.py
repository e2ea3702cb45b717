"""Adaptive poolings: a given number of bins along each axis, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy
import torch
from torch.nn import functional as F
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.ops.shape import integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value, size_of, volume

aten = torch.ops.aten


@lowers(
    aten.adaptive_avg_pool1d.default,
    aten.adaptive_avg_pool2d.default,
    aten.adaptive_avg_pool3d.default,
    aten._adaptive_avg_pool2d.default,
    aten._adaptive_avg_pool3d.default,
)
@computed_in_float32
def adaptive_avg_pool(b: Builder, x: Value, output_size: list[int]) -> Value:
    """adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor"""
    require(x.dtype.is_floating_point, f"tract has no mean of {x.dtype}")
    first = x.rank - len(output_size)
    whole = [axis for axis, count in enumerate(output_size, first) if count == 1]
    x = b.reduce("mean_reduce", x, whole, keepdim=True)
    for axis, count in enumerate(output_size, first):
        x = _bin_means(b, x, axis, count)
    return x


@lowers(
    aten.adaptive_max_pool1d.default,
    aten.adaptive_max_pool2d.default,
    aten.adaptive_max_pool3d.default,
)
def adaptive_max_pool(b: Builder, x: Value, output_size: list[int]) -> tuple[Value, Value]:
    """adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)

    Axis by axis, the last first, which finds the same of several equal maxima as PyTorch's
    walk over rows.
    """
    first = x.rank - len(output_size)
    sizes = x.shape
    values, index = x, None
    for axis in reversed(range(first, x.rank)):
        members, begins = _bins(b, values, axis, output_size[axis - first])
        values = b.reduce("max_reduce", members, [axis + 1])
        here = _argmax(b, members, axis + 1)
        if begins is not None:
            here = b.binary("add", here, begins)
        if index is None:
            index = here
            continue
        inner = b.emit("tract_core_gather_elements", index, here, like=here, axis=axis)
        row = b.binary("mul", here, b.scalar(volume(sizes[axis + 1 :]), torch.int64))
        index = b.binary("add", row, inner)
    if all(count == 1 for count in output_size):
        values = b.reduce("max_reduce", x, list(range(first, x.rank)), keepdim=True)
    assert index is not None
    return values, index


def _bin_means(b: Builder, x: Value, axis: int, count: Size) -> Value:
    """Means of so many bins along an axis."""
    size = x.shape[axis]
    if size == count:
        return x
    if (width := _width(size, count)) is not None:
        split = b.reshape(x, [*x.shape[:axis], count, width, *x.shape[axis + 1 :]])
        return b.reduce("mean_reduce", split, [axis + 1])
    # Bins that overlap: a product with the matrix that holds the bins of PyTorch.
    if isinstance(size, int) and isinstance(count, int):
        eye = torch.eye(size, dtype=x.dtype)
        weights = b.constant(F.adaptive_avg_pool1d(eye[None], count)[0])
    else:
        weights = _weights(b, size, count, x.dtype)
    letters = "abcde"[: x.rank]
    result = letters.replace(letters[axis], "z")
    return b.einsum(f"{letters},{letters[axis]}z->{result}", x, weights)


def _weights(b: Builder, size: Size, count: Size, dtype: torch.dtype) -> Value:
    """The share of each of `size` elements in each of `count` bins, [size, count]."""
    begins, ends = _edges(b, size, count)
    places = b.unsqueeze(integers(b, size), [1])
    behind = b.binary("ge", places, begins, torch.bool)
    ahead = b.binary("lt", places, ends, torch.bool)
    members = b.cast(b.binary("and", behind, ahead, torch.bool), dtype)
    return b.binary("div", members, b.cast(b.binary("sub", ends, begins), dtype))


def _edges(b: Builder, size: Size, count: Size) -> tuple[Value, Value]:
    """Where each bin begins, and the position behind its end: `[count]`, int64."""
    whole, bins = b.scalar(size, torch.int64), b.scalar(count, torch.int64)
    first = b.binary("mul", integers(b, count), whole)
    last = b.binary("add", first, b.scalar(size_of(sympy.sympify(size) + count - 1), torch.int64))
    return b.binary("div", first, bins), b.binary("div", last, bins)


def _bins(b: Builder, x: Value, axis: int, count: Size) -> tuple[Value, Value | None]:
    """Members of each bin, on a new axis behind that of the bins, and where the bins begin.

    The beginnings are None for a single bin. A short bin has its last member repeated.
    """
    size = x.shape[axis]
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    width = _width(size, count)
    if width is not None:
        members = b.reshape(x, [*before, count, width, *after])
        return members, None if count == 1 else _begins(b, range(_static(count)), width, after)
    if not isinstance(size, int):
        return _gathered_bins(b, x, axis, _static(count))
    count = _static(count)
    begins = [i * size // count for i in range(count)]
    ends = [-(-(i + 1) * size // count) for i in range(count)]
    longest = max(end - begin for begin, end in zip(begins, ends, strict=True))
    steps = torch.arange(longest)
    chosen = [(begin + steps).clamp(max=e - 1) for begin, e in zip(begins, ends, strict=True)]
    members = b.emit(
        "tract_core_gather",
        x,
        b.constant(torch.stack(chosen)),
        like=x.of(shape=[*before, count, longest, *after]),
        axis=axis,
    )
    return members, _begins(b, begins, 1, after)


def _gathered_bins(b: Builder, x: Value, axis: int, count: int) -> tuple[Value, Value]:
    """As `_bins`, along an axis of dynamic size."""
    before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    begins, ends = _edges(b, size, count)
    longest = size_of(FloorDiv(size + count - 1, count) + 1)
    last = b.binary("sub", b.unsqueeze(ends, [1]), b.scalar(1, torch.int64))
    chosen = b.binary("min", b.binary("add", b.unsqueeze(begins, [1]), integers(b, longest)), last)
    like = x.of(shape=[*before, count, longest, *after])
    members = b.emit("tract_core_gather", x, chosen, axis=axis, like=like)
    return members, b.unsqueeze(begins, list(range(1, len(after) + 1)))


def _begins(b: Builder, numbers: Iterable[int], width: Size, after: Sequence[Size]) -> Value:
    """These numbers times the width, along the axis that so many axes follow."""
    column = torch.tensor(list(numbers)).reshape(-1, *(1 for _ in after))
    return b.binary("mul", b.constant(column), b.scalar(width, torch.int64))


def _argmax(b: Builder, members: Value, axis: int) -> Value:
    shape = [1 if a == axis else size for a, size in enumerate(members.shape)]
    index = b.emit("argmax_reduce", members, like=Fact(torch.int64, tuple(shape)), axes=[axis])
    return b.squeeze(index, [axis])


def _width(size: Size, count: Size) -> Size | None:
    """Size of each bin, where all are equal."""
    quotient = sympy.sympify(size) / sympy.sympify(count)
    return size_of(quotient) if quotient.is_integer else None


def _static(size: Size) -> int:
    return static_int(size, "the number of its bins")
