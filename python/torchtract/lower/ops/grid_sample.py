"""Samples of images and volumes at places that a grid gives."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.elementwise import round_
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of, volume

aten = torch.ops.aten

_LINEAR, _NEAREST, _CUBIC = range(3)
_ZEROS, _BORDER, _REFLECTION = range(3)


@lowers(aten.grid_sampler_2d.default, aten.grid_sampler_3d.default)
def grid_sampler(
    b: Builder,
    x: Value,
    grid: Value,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Value:
    """grid_sampler_2d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode,
    bool align_corners) -> Tensor
    """
    count = x.rank - 2
    axes = [
        _Axis(b, x.shape[2 + a], padding_mode, align_corners, exact=count == 2)
        for a in range(count)
    ]
    last = grid.rank - 1
    places = [
        axis.place(b.squeeze(b.slice(grid, last, count - 1 - a, count - a), [last]))
        for a, axis in enumerate(axes)
    ]
    image = _Image(b, x, axes)
    if interpolation_mode == _CUBIC:
        return image.result(_cubic(b, image, places))
    places = [axis.padded(place) for axis, place in zip(axes, places, strict=True)]
    if interpolation_mode == _NEAREST:
        return image.result(image.at([round_(b, place) for place in places]))
    return image.result(_linear(b, image, places))


@dataclass(frozen=True)
class _Axis:
    """What the numbers of a grid are along one axis of an image."""

    b: Builder
    size: Size
    padding: int
    align_corners: bool
    exact: bool  # whether to compute as PyTorch does for images, else as for volumes

    def _number(self, number: float | sympy.Expr, like: Value) -> Value:
        return self.b.scalar(number, like.dtype)

    def place(self, grid: Value) -> Value:
        """The position that a number from -1 to 1 says."""
        b, size = self.b, sympy.sympify(self.size)
        ahead = b.binary("add", grid, self._number(1, grid))
        whole = size - 1 if self.align_corners else size
        half = self._number(0.5, grid)
        if self.exact:
            span = b.binary("mul", self._number(whole, grid), half)
            place = b.binary("mul", ahead, span)
            return place if self.align_corners else b.binary("sub", place, half)
        if self.align_corners:
            return b.binary("mul", b.binary("mul", ahead, half), self._number(whole, grid))
        place = b.binary("mul", ahead, self._number(whole, grid))
        return b.binary("mul", b.binary("sub", place, self._number(1, grid)), half)

    def padded(self, place: Value) -> Value:
        """The position that stands for one outside."""
        b = self.b
        if self.padding == _ZEROS:
            return place
        last = self._number(sympy.sympify(self.size) - 1, place)
        if self.padding == _REFLECTION:
            place = self._reflected(place)
        inside = b.binary("max", place, self._number(0, place))
        return b.binary("min", inside, last)

    def _reflected(self, place: Value) -> Value:
        b, size = self.b, sympy.sympify(self.size)
        shift = self._number(0 if self.align_corners else 0.5, place)
        span = 2 * (size - 1) if self.align_corners else 2 * size
        if span == 0:
            return b.binary("min", b.emit("abs", place), self._number(0, place))
        width = self._number(span, place)
        apart = b.emit("abs", b.binary("add", place, shift))
        times = b.emit("floor", b.binary("div", apart, width))
        rest = b.binary("sub", apart, b.binary("mul", times, width))
        nearer = b.binary("min", rest, b.binary("sub", width, rest))
        return b.binary("sub", nearer, shift)

    def inside(self, place: Value) -> Value:
        """Whether a whole position is one of the image's."""
        b = self.b
        above = b.binary("ge", place, self._number(0, place), torch.bool)
        below = self._number(self.size, place)
        return b.binary("and", above, b.binary("lt", place, below, torch.bool))

    def index(self, place: Value) -> Value:
        """A whole position, or one of the image's where it is outside."""
        b = self.b
        last = b.scalar(size_of(sympy.sympify(self.size) - 1), torch.int64)
        index = b.binary("max", b.cast(place, torch.int64), b.scalar(0, torch.int64))
        return b.binary("min", index, last)


class _Image:
    """The elements of an image or volume, by their positions."""

    def __init__(self, b: Builder, x: Value, axes: Sequence[_Axis]) -> None:
        self.b, self.axes, self.dtype = b, axes, x.dtype
        batch, channels, *sizes = x.shape
        flat = b.reshape(x, [batch, channels, volume(sizes)])
        self.rows = b.transpose(flat, [0, 2, 1])  # [N, positions, C]

    def at(self, places: Sequence[Value]) -> Value:
        """The elements at whole positions, [N, places, C]; zeros outside if asked for."""
        b = self.b
        index, known = None, []
        for axis, place in zip(self.axes, places, strict=True):
            here = axis.index(place)
            if index is not None:
                here = b.binary(
                    "add", b.binary("mul", index, b.scalar(axis.size, here.dtype)), here
                )
            index = here
            if axis.padding == _ZEROS:
                known.append(axis.inside(place))
        assert index is not None
        index = _flat(b, index)
        shape = [*index.shape[:2], self.rows.shape[2]]
        found = b.emit(
            "tract_core_gather_nd", self.rows, index, batch_dims=1, like=self.rows.of(shape=shape)
        )
        if not known:
            return found
        inside = functools.reduce(lambda p, q: b.binary("and", p, q), known)
        return b.where(_flat(b, inside), found, b.scalar(0, found.dtype))

    def result(self, found: Value) -> Value:
        """Elements [N, places, C] as the call's result."""
        b = self.b
        return b.reshape(b.transpose(found, [0, 2, 1]), b.result.shape)


def _flat(b: Builder, x: Value) -> Value:
    """A tensor of the grid's shape as [N, places, 1]."""
    return b.reshape(x, [x.shape[0], volume(x.shape[1:]), 1])


def _linear(b: Builder, image: _Image, places: Sequence[Value]) -> Value:
    """Of the two positions next to each place along each axis."""
    below = [b.emit("floor", place) for place in places]
    one = b.scalar(1, places[0].dtype)
    above = [b.binary("add", floor, one) for floor in below]
    shares = [b.binary("sub", p, floor) for p, floor in zip(places, below, strict=True)]
    rests = [b.binary("sub", one, share) for share in shares]
    total = None
    for corner in product((0, 1), repeat=len(places)):
        found = image.at([(below, above)[side][a] for a, side in enumerate(corner)])
        weights = [(rests, shares)[side][a] for a, side in enumerate(corner)]
        weight = functools.reduce(lambda p, q: b.binary("mul", p, q), weights)
        part = b.binary("mul", found, _flat(b, weight))
        total = part if total is None else b.binary("add", total, part)
    assert total is not None
    return total


def _cubic(b: Builder, image: _Image, places: Sequence[Value]) -> Value:
    """Of the four positions around each place along both axes."""
    floors = [b.emit("floor", place) for place in places]
    weights = [
        [_flat(b, w) for w in _cubic_weights(b, b.binary("sub", p, floor))]
        for p, floor in zip(places, floors, strict=True)
    ]
    near = [
        [axis.padded(b.binary("add", floor, b.scalar(k, floor.dtype))) for k in range(-1, 3)]
        for axis, floor in zip(image.axes, floors, strict=True)
    ]

    def mixed(values: Sequence[Value], shares: Sequence[Value]) -> Value:
        parts = [b.binary("mul", w, v) for v, w in zip(values, shares, strict=True)]
        return functools.reduce(lambda p, q: b.binary("add", p, q), parts)

    rows = [mixed([image.at([y, x]) for x in near[1]], weights[1]) for y in near[0]]
    return mixed(rows, weights[0])


def _cubic_weights(b: Builder, t: Value) -> list[Value]:
    """Keys' weights of four neighbours, for a share t of the way from the second to the third."""
    a = -0.75

    def number(value: float) -> Value:
        return b.scalar(value, t.dtype)

    def near(t: Value) -> Value:
        value = b.binary("sub", b.binary("mul", number(a + 2), t), number(a + 3))
        return b.binary("add", b.binary("mul", b.binary("mul", value, t), t), number(1))

    def far(t: Value) -> Value:
        value = b.binary("sub", b.binary("mul", number(a), t), number(5 * a))
        value = b.binary("add", b.binary("mul", value, t), number(8 * a))
        return b.binary("sub", b.binary("mul", value, t), number(4 * a))

    one = number(1)
    rest = b.binary("sub", one, t)
    return [far(b.binary("add", t, one)), near(t), near(rest), far(b.binary("sub", number(2), t))]
