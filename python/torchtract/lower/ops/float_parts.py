"""Mantissas, exponents and neighbours of floating-point numbers, by arithmetic in float64."""

from __future__ import annotations

import math

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.float64 import equal, less, number, plus, times
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten


@lowers(aten.frexp.Tensor)
def frexp(b: Builder, x: Value) -> tuple[Value, Value]:
    """frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)"""
    wide = b.cast(x, torch.float64)
    size = b.emit("abs", wide)
    usual = b.binary("and", less(b, size, math.inf), b.emit("not", equal(b, size, 0)))
    number_ = b.where(usual, size, number(b, 1))
    guess = b.emit("floor", times(b, b.emit("log", number_), 1 / math.log(2)))
    mantissa, exponent = _scaled(b, number_, guess), guess
    # The logarithm is rounded, so the guess may be one off.
    for condition, step in ((_at_least(b, mantissa, 1), 1), (less(b, mantissa, 0.5), -1)):
        mantissa = b.where(condition, times(b, mantissa, 2.0**-step), mantissa)
        exponent = b.where(condition, plus(b, exponent, step), exponent)
    condition = _at_least(b, mantissa, 1)
    mantissa = b.where(condition, times(b, mantissa, 0.5), mantissa)
    exponent = b.where(condition, plus(b, exponent, 1), exponent)
    signed = b.where(less(b, wide, 0), b.emit("neg", mantissa), mantissa)
    exponent = b.where(usual, exponent, number(b, 0))
    mantissa = b.cast(b.where(usual, signed, wide), x.dtype)
    return mantissa, b.cast(exponent, torch.int32)


def _at_least(b: Builder, x: Value, value: float) -> Value:
    return b.binary("ge", x, number(b, value), torch.bool)


def _scaled(b: Builder, x: Value, exponent: Value) -> Value:
    """`x / 2**exponent`, in two steps, since one power may be out of range."""
    first = b.emit("floor", times(b, exponent, 0.5))
    for part in (first, b.binary("sub", exponent, first)):
        x = b.binary("mul", x, b.binary("pow", number(b, 2), b.emit("neg", part)))
    return x


#: A little more than half of the distance of two neighbours, for a number from 1 to 2.
_STEP = 1.01 * 2.0**-24


@lowers(aten.nextafter.default)
def nextafter(b: Builder, x: Value, other: Value) -> Value:
    """nextafter(Tensor self, Tensor other) -> Tensor"""
    limits = torch.finfo(torch.float32)
    require(x.dtype == torch.float32, "numbers between its neighbours take a larger type")
    x, y = (b.cast(v, torch.float64) for v in (x, other))
    up = b.binary("lt", x, y, torch.bool)
    size = b.emit("abs", x)
    above = b.binary("gt", x, number(b, 0), torch.bool)
    outwards = b.emit("not", b.binary("tract_core_xor", up, above))
    least = number(b, limits.smallest_normal * limits.eps)
    factor = b.where(outwards, number(b, 1 + _STEP), number(b, 1 - _STEP))
    small = less(b, size, limits.smallest_normal)
    toward = b.where(up, least, b.emit("neg", b.broadcast(least, up.shape)))
    value = b.where(small, b.binary("add", x, toward), b.binary("mul", x, factor))
    largest = number(b, limits.max)
    largest = b.where(less(b, x, 0), number(b, limits.min), largest)
    value = b.where(equal(b, size, math.inf), largest, value)
    value = b.where(b.binary("eq", x, y, torch.bool), y, value)
    for operand in (x, y):
        value = b.where(b.binary("ne", operand, operand, torch.bool), operand, value)
    return b.cast(value, torch.float32)
