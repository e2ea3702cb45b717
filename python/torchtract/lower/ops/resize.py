"""Upsampling by nearest elements and by interpolation, and channels rearranged into space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import sympy
import torch
from torch._ops import OpOverload
from torch.nn import functional as F
from torch.utils._sympy.functions import IntTrueDiv, Max

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.ops.shape import integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of

aten = torch.ops.aten


def _nearest(mode: str) -> Callable[..., Value]:
    def upsample(
        b: Builder, x: Value, output_size: list[Size] | None, scale_factors: list[float] | None
    ) -> Value:
        """upsample_nearest2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors)
        -> Tensor
        """
        for axis, scale in _resized_axes(b, x, scale_factors):
            x = _nearest_along(b, x, axis, b.result.shape[axis], scale, mode)
        return x

    return upsample


def _interpolated(mode: str) -> Callable[..., Value]:
    @computed_in_float32
    def upsample(
        b: Builder,
        x: Value,
        output_size: list[Size] | None,
        align_corners: bool,
        scale_factors: list[float] | None,
    ) -> Value:
        """upsample_bilinear2d.vec(Tensor input, SymInt[]? output_size, bool align_corners,
        float[]? scale_factors) -> Tensor

        Each axis is a product with the matrix that PyTorch's own interpolation has there.
        """
        require(x.dtype.is_floating_point, f"tract has no interpolation of {x.dtype}")
        for axis, scale in _resized_axes(b, x, scale_factors):
            size, count = x.shape[axis], b.result.shape[axis]
            if mode == "bilinear" and not (isinstance(size, int) and isinstance(count, int)):
                x = _linear_along(b, x, axis, count, scale, align_corners)
                continue
            size = static_int(size, f"size {axis} of its input")
            count = static_int(count, f"size {axis} of its output")
            rows = torch.eye(size, dtype=x.dtype)
            matrix = _resized(rows, count, scale, mode, align_corners)
            x = _times_matrix(b, x, axis, matrix)
        return x

    return upsample


for _mode, _overloads in {
    "nearest": (
        aten.upsample_nearest1d.vec,
        aten.upsample_nearest2d.vec,
        aten.upsample_nearest3d.vec,
    ),
    "nearest-exact": (
        aten._upsample_nearest_exact1d.vec,
        aten._upsample_nearest_exact2d.vec,
        aten._upsample_nearest_exact3d.vec,
    ),
}.items():
    lowers(*_overloads)(_nearest(_mode))

lowers(
    aten.upsample_linear1d.vec,
    aten.upsample_bilinear2d.vec,
    aten.upsample_trilinear3d.vec,
)(_interpolated("bilinear"))
lowers(aten.upsample_bicubic2d.vec)(_interpolated("bicubic"))


def _antialiased(resample: OpOverload) -> Callable[..., Value]:
    @computed_in_float32
    def upsample(
        b: Builder,
        x: Value,
        output_size: list[Size],
        align_corners: bool,
        scales_h: float | None = None,
        scales_w: float | None = None,
    ) -> Value:
        """_upsample_bilinear2d_aa(Tensor self, SymInt[2] output_size, bool align_corners,
        float? scales_h=None, float? scales_w=None) -> Tensor
        """
        require(x.dtype.is_floating_point, f"tract has no interpolation of {x.dtype}")
        for axis, scale in ((2, scales_h), (3, scales_w)):
            size = static_int(x.shape[axis], f"size {axis} of its input")
            count = static_int(b.result.shape[axis], f"size {axis} of its output")
            rows = torch.eye(size, dtype=x.dtype)[None, None]
            matrix = resample(rows, [size, count], align_corners, None, scale)[0, 0]
            x = _times_matrix(b, x, axis, matrix)
        return x

    return upsample


for _overload in (aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default):
    lowers(_overload)(_antialiased(_overload))


def _times_matrix(b: Builder, x: Value, axis: int, matrix: torch.Tensor) -> Value:
    """The elements along an axis mixed into others."""
    letters = "abcde"[: x.rank]
    equation = f"{letters},{letters[axis]}z->{letters.replace(letters[axis], 'z')}"
    return b.einsum(equation, x, b.constant(matrix))


@lowers(aten.pixel_shuffle.default)
def pixel_shuffle(b: Builder, x: Value, upscale_factor: int) -> Value:
    """pixel_shuffle(Tensor self, int upscale_factor) -> Tensor"""
    r = upscale_factor
    *batch, channels, height, width = x.shape
    n = len(batch)
    x = b.reshape(x, [*batch, size_of(sympy.sympify(channels) / r**2), r, r, height, width])
    x = b.transpose(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return b.reshape(x, b.result.shape)


@lowers(aten.pixel_unshuffle.default)
def pixel_unshuffle(b: Builder, x: Value, downscale_factor: int) -> Value:
    """pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor"""
    r = downscale_factor
    *batch, channels, _, _ = x.shape
    height, width = b.result.shape[-2:]
    n = len(batch)
    x = b.reshape(x, [*batch, channels, height, r, width, r])
    x = b.transpose(x, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return b.reshape(x, b.result.shape)


@lowers(aten.channel_shuffle.default, aten.native_channel_shuffle.default)
def channel_shuffle(b: Builder, x: Value, groups: int) -> Value:
    """channel_shuffle(Tensor self, SymInt groups) -> Tensor"""
    batch, channels, *rest = x.shape
    members = size_of(sympy.sympify(channels) / groups)
    y = b.reshape(x, [batch, groups, members, *rest])
    y = b.transpose(y, [0, 2, 1, *range(3, y.rank)])
    return b.reshape(y, x.shape)


def _resized_axes(
    b: Builder, x: Value, scale_factors: Sequence[float] | None
) -> Iterator[tuple[int, float | None]]:
    """The spatial axes that change, each with its scale if the call gives one."""
    scales: Sequence[float | None] = scale_factors or [None] * (x.rank - 2)
    for axis, scale in enumerate(scales, 2):
        if x.shape[axis] != b.result.shape[axis] or scale not in (None, 1):
            yield axis, scale


def _nearest_along(
    b: Builder, x: Value, axis: int, count: Size, scale: float | None, mode: str
) -> Value:
    size = x.shape[axis]
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    times = sympy.sympify(count) / sympy.sympify(size)
    index = _nearest_index(size, count, scale, mode) if isinstance(size, int) else None
    # PyTorch divides in float32, which may round to a neighbour.
    if times.is_Integer and (
        index is None or torch.equal(index, torch.arange(size).repeat_interleave(int(times)))
    ):
        x = b.broadcast(b.unsqueeze(x, [axis + 1]), [*before, size, int(times), *after])
        return b.reshape(x, [*before, count, *after])
    if index is not None:
        return _gathered(b, x, axis, b.constant(index))
    shift = 0.5 if mode == "nearest-exact" else 0.0
    place = b.binary("add", _numbers(b, count), b.scalar(shift, torch.float32))
    place = b.binary("mul", place, _ratio(b, size, count, scale))
    return _gathered(b, x, axis, _index(b, place, size))


def _linear_along(
    b: Builder, x: Value, axis: int, count: Size, scale: float | None, align_corners: bool
) -> Value:
    """Each element between the two whose positions are next to its own."""
    size = x.shape[axis]
    place, half = _numbers(b, count), b.scalar(0.5, torch.float32)
    if align_corners:
        gaps = Max(1, count - sympy.Integer(1), evaluate=False)
        place = b.binary("mul", place, _ratio(b, size - sympy.Integer(1), gaps, None))
    else:
        place = b.binary("mul", b.binary("add", place, half), _ratio(b, size, count, scale))
        place = b.binary("max", b.binary("sub", place, half), b.scalar(0.0, torch.float32))
    low = _index(b, place, size)
    high = b.binary("min", b.binary("add", low, b.scalar(1, torch.int64)), _last(b, size))
    share = b.cast(b.binary("sub", place, b.cast(low, torch.float32)), x.dtype)
    share = b.unsqueeze(share, list(range(1, x.rank - axis)))
    begin, end = _gathered(b, x, axis, low), _gathered(b, x, axis, high)
    rest = b.binary("sub", b.scalar(1, x.dtype), share)
    return b.binary("add", b.binary("mul", begin, rest), b.binary("mul", end, share))


def _ratio(b: Builder, size: Size, count: Size, scale: float | None) -> Value:
    """Input elements per output element, as PyTorch rounds it: once, to float32."""
    if scale is not None:
        return b.scalar(float(torch.tensor(1 / scale, dtype=torch.float32)), torch.float32)
    return b.scalar(IntTrueDiv(sympy.sympify(size), sympy.sympify(count)), torch.float32)


def _numbers(b: Builder, count: Size) -> Value:
    return b.cast(integers(b, count), torch.float32)


def _last(b: Builder, size: Size) -> Value:
    return b.scalar(size_of(size - sympy.Integer(1)), torch.int64)


def _index(b: Builder, place: Value, size: Size) -> Value:
    """Positions rounded down to elements that there are."""
    return b.binary("min", b.cast(b.emit("floor", place), torch.int64), _last(b, size))


def _gathered(b: Builder, x: Value, axis: int, index: Value) -> Value:
    like = x.of(shape=[*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    return b.emit("tract_core_gather", x, index, like=like, axis=axis)


def _nearest_index(size: int, count: Size, scale: float | None, mode: str) -> torch.Tensor:
    positions = torch.arange(size, dtype=torch.float32)[None]
    return _resized(positions, static_int(count, "its output"), scale, mode)[0].long()


def _resized(
    rows: torch.Tensor,
    count: int,
    scale: float | None,
    mode: str,
    align_corners: bool | None = None,
) -> torch.Tensor:
    """What PyTorch makes of each row of a matrix."""
    target = {"size": [len(rows), count]} if scale is None else {"scale_factor": [1.0, scale]}
    return F.interpolate(rows[None, None], mode=mode, align_corners=align_corners, **target)[0, 0]
