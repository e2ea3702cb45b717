"""Angles and distances of points in the plane."""

from __future__ import annotations

import math

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.compare import signbit
from torchtract.lower.ops.elementwise import as_float, product
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

__all__ = ["atan2_of", "hypot_of"]

aten = torch.ops.aten


@lowers(aten.atan2.default)
@computed_in_float32
def atan2(b: Builder, x: Value, other: Value) -> Value:
    """atan2(Tensor self, Tensor other) -> Tensor"""
    return atan2_of(b, *(as_float(b, v) for v in b.promote(x, other)))


def atan2_of(b: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from -pi to pi; signs of zeros count."""
    width, height = b.emit("abs", x), b.emit("abs", y)
    longer, shorter = b.binary("max", width, height), b.binary("min", width, height)
    # Of two zeros the angle is zero, and 0 / 1 says so; of two infinities it is that of two ones.
    one = b.scalar(1, y.dtype)
    longer = b.where(b.binary("eq", longer, b.scalar(0, y.dtype), torch.bool), one, longer)
    endless = b.binary("eq", shorter, b.scalar(math.inf, y.dtype), torch.bool)
    angle = b.emit("atan", b.where(endless, one, b.binary("div", shorter, longer)))
    steep = b.binary("gt", height, width, torch.bool)
    angle = b.where(steep, b.binary("sub", b.scalar(math.pi / 2, y.dtype), angle), angle)
    angle = b.where(signbit(b, x), b.binary("sub", b.scalar(math.pi, y.dtype), angle), angle)
    angle = b.where(signbit(b, y), b.emit("neg", angle), angle)
    total = b.binary("add", width, height)  # tract's longer of a number and NaN is the number
    return b.where(b.binary("ne", total, total, torch.bool), total, angle)


@lowers(aten.hypot.default)
@computed_in_float32
def hypot(b: Builder, x: Value, other: Value) -> Value:
    """hypot(Tensor self, Tensor other) -> Tensor"""
    return hypot_of(b, *b.promote(x, other))


def hypot_of(b: Builder, x: Value, y: Value) -> Value:
    """The distance of the point (x, y) from zero."""
    width, height = b.emit("abs", x), b.emit("abs", y)
    longest = b.binary("max", width, height)
    # Squares of large sides would be infinite, so they are squares of parts of the longest.
    finite = b.binary("lt", longest, b.scalar(torch.inf, longest.dtype), torch.bool)
    usual = b.binary("and", finite, b.cast(longest, torch.bool))
    unit = b.where(usual, longest, b.scalar(1, longest.dtype))
    width, height = (b.binary("div", side, unit) for side in (width, height))
    total = b.binary("add", product(b, width, width), product(b, height, height))
    return b.where(finite, b.binary("mul", unit, b.emit("sqrt", total)), longest)


@lowers(aten.angle.default)
def angle(b: Builder, x: Value) -> Value:
    """angle(Tensor self) -> Tensor"""
    number = b.cast(x, b.result.dtype)
    zero, pi = (b.scalar(v, number.dtype) for v in (0, math.pi))
    below = b.binary("lt", number, zero, torch.bool)
    flat = b.where(below, pi, zero)
    return b.where(b.binary("ne", number, number, torch.bool), number, flat)
