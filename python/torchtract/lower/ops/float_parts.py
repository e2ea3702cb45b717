"""Floating-point numbers by their parts: mantissa and exponent, and the numbers next to them.

tract reads no bits, so the exponent is found by a logarithm and put right by comparison.
"""

from __future__ import annotations

import math

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.compare import isnan
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

#: Numbers beyond 2 ** 500 and below its reciprocal are brought nearer to 1 by this power first.
_FAR, _SHIFT = 500, 600
#: Of float64: the exponents of its smallest number and of its largest.
_LOWEST, _HIGHEST = -1074, 1023
_POWERS = torch.tensor([2.0**n for n in range(_LOWEST, _HIGHEST + 1)], dtype=torch.float64)


@lowers(aten.frexp.Tensor)
def frexp(b: Builder, x: Value) -> tuple[Value, Value]:
    """frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)"""
    mantissa, exponent = _parts(b, b.cast(x, torch.float64))
    negative = b.binary("lt", x, b.scalar(0, x.dtype), torch.bool)
    mantissa = b.where(negative, b.emit("neg", mantissa), mantissa)
    usual = _usual(b, x)
    exponent = b.where(usual, exponent, b.scalar(0, torch.int64))
    return b.where(usual, b.cast(mantissa, x.dtype), x), b.cast(exponent, torch.int32)


@lowers(aten.nextafter.default)
def nextafter(b: Builder, x: Value, other: Value) -> Value:
    """nextafter(Tensor self, Tensor other) -> Tensor"""
    dtype = b.result.dtype
    number = torch.finfo(dtype)
    x, y = (b.cast(v, torch.float64) for v in b.promote(x, other, dtype=dtype))
    zero, largest = b.scalar(0, x.dtype), b.scalar(number.max, x.dtype)
    upwards, negative = b.binary("gt", y, x, torch.bool), b.binary("lt", x, zero, torch.bool)
    away = b.binary("tract_core_xor", upwards, negative)
    size = b.emit("abs", x)
    grown, shrunk = _neighbours(b, size, dtype)
    size = b.where(away, grown, b.where(_infinite(b, size), largest, shrunk))
    found = b.where(negative, b.emit("neg", size), size)
    least = b.scalar(number.smallest_normal * number.eps, x.dtype)
    of_zero = b.where(upwards, least, b.emit("neg", least))
    found = b.where(_equal(b, x, zero), of_zero, found)
    found = b.where(_equal(b, x, y), y, found)
    unordered = b.binary("or", isnan(b, x), isnan(b, y))
    return b.cast(b.where(unordered, b.scalar(torch.nan, x.dtype), found), dtype)


def _neighbours(b: Builder, size: Value, dtype: torch.dtype) -> tuple[Value, Value]:
    """The numbers of this type next to numbers above zero, in float64: the larger, the smaller."""
    mantissa, exponent = _parts(b, size)
    digits = 1 - _exponent_of(torch.finfo(dtype).eps)
    lowest = _exponent_of(torch.finfo(dtype).smallest_normal) + 1 - digits
    # Below a power of 2 the gaps are half as wide.
    power = b.cast(_equal(b, mantissa, b.scalar(0.5, size.dtype)), torch.int64)
    above, below = (
        _power(b, b.binary("max", place, b.scalar(lowest, torch.int64)))
        for place in (
            b.binary("sub", exponent, b.scalar(digits, torch.int64)),
            b.binary("sub", b.binary("sub", exponent, power), b.scalar(digits, torch.int64)),
        )
    )
    return b.binary("add", size, above), b.binary("sub", size, below)


def _exponent_of(power: float) -> int:
    """The exponent of a power of 2."""
    return math.frexp(power)[1] - 1


def _parts(b: Builder, x: Value) -> tuple[Value, Value]:
    """Mantissa, from 0.5 to 1, and exponent of the sizes of float64 numbers other than 0."""
    size = b.emit("abs", x)
    small = b.binary("lt", size, b.scalar(2.0**-_FAR, x.dtype), torch.bool)
    large = b.binary("gt", size, b.scalar(2.0**_FAR, x.dtype), torch.bool)
    powers = [b.scalar(p, x.dtype) for p in (2.0**_SHIFT, 2.0**-_SHIFT, 1.0)]
    near = b.binary("mul", size, b.where(small, powers[0], b.where(large, powers[1], powers[2])))
    usual = _usual(b, near)
    near = b.where(usual, near, powers[2])
    guess = b.binary("mul", b.emit("log", near), b.scalar(1 / math.log(2), x.dtype))
    exponent = b.binary("add", b.cast(b.emit("floor", guess), torch.int64), _whole(b, 1))
    mantissa = b.binary("mul", near, _power(b, b.binary("sub", _whole(b, 0), exponent)))
    # The logarithm is rounded: right where it came out on the other side of a whole number.
    half, one, two = (b.scalar(n, x.dtype) for n in (0.5, 1, 2))
    low = b.binary("lt", mantissa, half, torch.bool)
    high = b.binary("ge", mantissa, one, torch.bool)
    mantissa = b.binary("mul", mantissa, b.where(low, two, b.where(high, half, one)))
    for off, by in ((low, -1), (high, 1), (small, -_SHIFT), (large, _SHIFT)):
        change = b.where(off, _whole(b, by), _whole(b, 0))
        exponent = b.binary("add", exponent, change)
    return mantissa, exponent


def _whole(b: Builder, number: int) -> Value:
    return b.scalar(number, torch.int64)


def _power(b: Builder, exponent: Value) -> Value:
    """Powers of 2, from a table: `pow` is rounded."""
    table = b.constant(_POWERS)
    place = b.binary("sub", exponent, _whole(b, _LOWEST))
    place = b.binary("max", _whole(b, 0), b.binary("min", place, _whole(b, len(_POWERS) - 1)))
    like = place.of(dtype=torch.float64)
    return b.emit("tract_core_gather", table, place, axis=0, like=like)


def _equal(b: Builder, x: Value, y: Value) -> Value:
    return b.binary("eq", x, y, torch.bool)


def _infinite(b: Builder, size: Value) -> Value:
    return _equal(b, size, b.scalar(torch.inf, size.dtype))


def _usual(b: Builder, x: Value) -> Value:
    """Where a number is neither 0 nor infinite nor NaN."""
    size = b.emit("abs", x)
    finite = b.binary("lt", size, b.scalar(torch.inf, x.dtype), torch.bool)
    return b.binary("and", finite, b.binary("gt", size, b.scalar(0, x.dtype), torch.bool))
