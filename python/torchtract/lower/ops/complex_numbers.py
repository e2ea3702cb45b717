"""Complex numbers, as two tensors: their real and their imaginary parts."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.angles import atan2_of
from torchtract.lower.ops.complex_parts import conjugate, is_true, magnitude, parts_of
from torchtract.lower.pairs import complex_of, from_pairs, to_pairs
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, broadcast_shapes

__all__ = [
    "Parts",
    "complex_of",
    "operand_parts",
    "parts_of",
    "quotient",
    "times",
    "view_as_complex",
    "view_as_real",
]

aten = torch.ops.aten

Parts: TypeAlias = "tuple[Value, Value]"
_Known: TypeAlias = "tuple[Value | float, Value | float]"


def operand_parts(b: Builder, operand: Any) -> Parts:
    """The parts of an operand of a call that gives complex numbers, in the result's type."""
    dtype = b.result.dtype.to_real()
    if isinstance(operand, Value):
        return parts_of(b, operand, dtype)
    number = complex(operand)
    return b.scalar(number.real, dtype), b.scalar(number.imag, dtype)


# Made of parts, and taken apart.


@lowers(aten.complex.default, of_complex=True)
def complex_(b: Builder, real: Value, imag: Value) -> Value:
    """complex(Tensor real, Tensor imag) -> Tensor"""
    return complex_of(b.broadcast(real, b.result.shape), b.broadcast(imag, b.result.shape))


@lowers(aten.polar.default, of_complex=True)
def polar(b: Builder, abs: Value, angle: Value) -> Value:
    """polar(Tensor abs, Tensor angle) -> Tensor"""
    sides = (b.binary("mul", abs, b.emit(side, angle)) for side in ("cos", "sin"))
    return complex_of(*sides)


@lowers(aten.view_as_complex.default, of_complex=True)
def view_as_complex(b: Builder, x: Value) -> Value:
    """view_as_complex(Tensor(a) self) -> Tensor(a)"""
    return from_pairs(b, x)


@lowers(aten.view_as_real.default, of_complex=True)
def view_as_real(b: Builder, x: Value) -> Value:
    """view_as_real(Tensor(a) self) -> Tensor(a)"""
    return to_pairs(b, *parts_of(b, x))


@lowers(aten.real.default, of_complex=True)
def real(b: Builder, x: Value) -> Value:
    """real(Tensor(a) self) -> Tensor(a)"""
    return parts_of(b, x)[0]


@lowers(aten.imag.default, of_complex=True)
def imag(b: Builder, x: Value) -> Value:
    """imag(Tensor(a) self) -> Tensor(a)"""
    return parts_of(b, x)[1]


@lowers(aten.abs.default, of_complex=True)
def abs_(b: Builder, x: Value) -> Value:
    """abs(Tensor self) -> Tensor"""
    return magnitude(b, x)


@lowers(aten.angle.default, of_complex=True)
def angle(b: Builder, x: Value) -> Value:
    """angle(Tensor self) -> Tensor"""
    width, height = parts_of(b, x)
    return atan2_of(b, height, width)


@lowers(aten.resolve_conj.default, aten.resolve_neg.default, of_complex=True)
def resolve_conj(b: Builder, x: Value) -> Value:
    """resolve_conj(Tensor(a) self) -> Tensor(a)"""
    return x


@lowers(aten._conj.default, aten.conj.default, of_complex=True)
@lowers(aten.conj_physical.default, aten._conj_physical.default, of_complex=True)
def conj(b: Builder, x: Value) -> Value:
    """_conj(Tensor(a) self) -> Tensor(a)"""
    return conjugate(b, x)


@lowers(aten.to.dtype, aten.to.dtype_layout, aten._to_copy.default, of_complex=True)
def to_dtype(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """to.dtype(Tensor(a) self, ScalarType dtype, ...) -> Tensor(a)"""
    return _converted(b, x)


@lowers(aten.to.other, aten.type_as.default, of_complex=True)
def to_other(b: Builder, x: Value, other: Value) -> Value:
    """to.other(Tensor(a) self, Tensor other, ...) -> Tensor(a)"""
    return _converted(b, x)


def _converted(b: Builder, x: Value) -> Value:
    if b.result.dtype == torch.bool:
        return is_true(b, x)
    parts = parts_of(b, x, b.result.dtype.to_real())
    return complex_of(*parts) if b.result.dtype.is_complex else parts[0]


# Arithmetic.


@lowers(aten.add.Tensor, aten.add.Scalar, of_complex=True)
def add(b: Builder, x: Value, other: Any, alpha: Any = 1) -> Value:
    """add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    return _termwise(b, "add", _known_parts(b, x), _scaled(b, other, alpha))


@lowers(aten.sub.Tensor, aten.sub.Scalar, of_complex=True)
@lowers(aten.subtract.Tensor, aten.subtract.Scalar, of_complex=True)
def sub(b: Builder, x: Value, other: Any, alpha: Any = 1) -> Value:
    """sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    if not isinstance(other, Value):  # PyTorch adds a product, which decides the sign of a zero
        return _termwise(b, "add", _known_parts(b, x), _known_parts(b, complex(-alpha) * other))
    return _termwise(b, "sub", _known_parts(b, x), _scaled(b, other, alpha))


@lowers(aten.rsub.Scalar, aten.rsub.Tensor, of_complex=True)
def rsub(b: Builder, x: Value, other: Any, alpha: Any = 1) -> Value:
    """rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor"""
    return _termwise(b, "sub", _known_parts(b, other), _scaled(b, x, alpha))


def _scaled(b: Builder, operand: Any, factor: Any) -> _Known:
    parts = _known_parts(b, operand)
    return parts if factor == 1 else parts_of(b, mul(b, _complex(b, parts), factor))


def _complex(b: Builder, parts: _Known) -> Value:
    tensors = [p if isinstance(p, Value) else b.scalar(p, _real_type(b)) for p in parts]
    shape = broadcast_shapes(*(part.shape for part in tensors))
    return complex_of(*(b.broadcast(part, shape) for part in tensors))


def _termwise(b: Builder, op: str, x: _Known, other: _Known) -> Value:
    return _complex(b, (_sum(b, op, x[0], other[0]), _sum(b, op, x[1], other[1])))


def _sum(b: Builder, op: str, x: Value | float, y: Value | float) -> Value:
    """A sum or difference of parts. tract takes no notice of zeros, which make -0 to 0."""
    zero = b.scalar(0, _real_type(b))
    mine, theirs = (v if isinstance(v, Value) else b.scalar(v, zero.dtype) for v in (x, y))
    total = b.binary(op, mine, theirs)
    known, part = (y, x) if isinstance(x, Value) else (x, y)
    if isinstance(known, Value) or not isinstance(part, Value) or known != 0:
        return total
    if part is x and (op == "sub" or math.copysign(1, known) < 0):
        return part
    return b.where(b.binary("eq", part, zero, torch.bool), zero, total)


@lowers(aten.mul.Tensor, aten.mul.Scalar, of_complex=True)
@lowers(aten.multiply.Tensor, aten.multiply.Scalar, of_complex=True)
def mul(b: Builder, x: Value, other: Any) -> Value:
    """mul.Tensor(Tensor self, Tensor other) -> Tensor"""
    (a, c), (d, e) = _known_parts(b, x), _known_parts(b, other)
    real = b.binary("sub", _term(b, a, d), _term(b, c, e))
    return _complex(b, (real, b.binary("add", _term(b, a, e), _term(b, c, d))))


def _known_parts(b: Builder, operand: Any) -> _Known:
    """The parts of an operand, as numbers where they are known."""
    if not isinstance(operand, Value):
        number = complex(operand)
        return number.real, number.imag
    return operand_parts(b, operand) if operand.imag else (b.cast(operand, _real_type(b)), 0.0)


def _real_type(b: Builder) -> torch.dtype:
    return b.result.dtype.to_real()


def _term(b: Builder, x: Value | float, y: Value | float) -> Value:
    """A product of parts, of which tract may not know that one is zero."""
    if isinstance(x, Value):
        if isinstance(y, Value):
            return b.binary("mul", x, y)
        return b.binary("mul", x, b.scalar(y, x.dtype)) if y else _times_zero(b, x, y)
    return _term(b, y, x) if isinstance(y, Value) else b.scalar(x * y, _real_type(b))


def _times_zero(b: Builder, x: Value, zero: float) -> Value:
    """`x * 0`: NaN where x is not finite, else a zero of x's sign. tract has 0 for it."""
    endless = b.scalar(math.copysign(math.inf, zero), x.dtype)
    return b.binary("div", x, b.binary("add", b.emit("abs", x), endless))


def times(b: Builder, x: Parts, y: Parts) -> Value:
    """The product. As in PyTorch, real factors have imaginary parts too, and 0 * inf is NaN."""
    (a, c), (d, e) = x, y
    real = b.binary("sub", b.binary("mul", a, d), b.binary("mul", c, e))
    return complex_of(real, b.binary("add", b.binary("mul", a, e), b.binary("mul", c, d)))


@lowers(aten.div.Tensor, aten.div.Scalar, aten.divide.Tensor, aten.divide.Scalar, of_complex=True)
@lowers(aten.true_divide.Tensor, aten.true_divide.Scalar, of_complex=True)
def div(b: Builder, x: Value, other: Any) -> Value:
    """div.Tensor(Tensor self, Tensor other) -> Tensor"""
    if isinstance(other, Value):
        return quotient(b, operand_parts(b, x), operand_parts(b, other))
    return _divided_by_number(b, operand_parts(b, x), complex(other))


@lowers(aten.reciprocal.default, of_complex=True)
def reciprocal(b: Builder, x: Value) -> Value:
    """reciprocal(Tensor self) -> Tensor"""
    return quotient(b, operand_parts(b, 1), operand_parts(b, x))


def quotient(b: Builder, x: Parts, y: Parts) -> Value:
    """Smith's formula, as PyTorch computes it: it divides by the longer part of the divisor."""
    (p, q), (c, d) = x, y
    width, height = b.emit("abs", c), b.emit("abs", d)
    flat = b.binary("ge", width, height, torch.bool)
    long, short = b.where(flat, c, d), b.where(flat, d, c)
    ratio = b.binary("div", short, long)
    total = b.binary("add", long, b.binary("mul", short, ratio))
    scale = b.binary("div", b.scalar(1, c.dtype), total)
    first, second = b.where(flat, p, q), b.where(flat, q, p)
    real, imag, negative = _by_ratio(b, (first, second), ratio, scale)
    imag = b.where(flat, imag, negative)
    flat_zero, high_zero = (b.binary("eq", v, b.scalar(0, v.dtype), torch.bool) for v in (c, d))
    nothing = b.binary("and", flat_zero, high_zero)
    pairs = ((first, real), (second, imag))
    return complex_of(*(b.where(nothing, b.binary("div", part, width), r) for part, r in pairs))


def _by_ratio(
    b: Builder, x: Parts, ratio: Value | float, scale: Value
) -> tuple[Value, Value, Value]:
    """The real part of a quotient, and the imaginary one for either longer part of the divisor."""
    first, second = x
    along, across = _term(b, second, ratio), _term(b, first, ratio)
    sums = ("add", first, along), ("sub", second, across), ("sub", across, second)
    real, imag, negative = (b.binary("mul", b.binary(*s), scale) for s in sums)
    return real, imag, negative


def _divided_by_number(b: Builder, x: Parts, divisor: complex) -> Value:
    """The same for a number: what it takes of the divisor is known."""
    dtype = x[0].dtype
    number = torch.empty((), dtype=dtype).numpy().dtype.type
    c, d = number(divisor.real), number(divisor.imag)
    flat = bool(abs(c) >= abs(d))
    long, short = (c, d) if flat else (d, c)
    with np.errstate(all="ignore"):
        if long == 0:
            return complex_of(*(b.binary("div", part, b.scalar(0, dtype)) for part in x))
        if not np.isfinite(long):
            return quotient(b, x, (b.scalar(divisor.real, dtype), b.scalar(divisor.imag, dtype)))
        ratio = short / long
        scale = number(1) / (long + short * ratio)
    scalars = float(ratio), b.scalar(float(scale), dtype)
    if flat:
        return complex_of(*_by_ratio(b, x, *scalars)[:2])
    real, _, imag = _by_ratio(b, (x[1], x[0]), *scalars)
    return complex_of(real, imag)


@lowers(aten.square.default, of_complex=True)
def square(b: Builder, x: Value) -> Value:
    """square(Tensor self) -> Tensor"""
    parts = parts_of(b, x)
    return times(b, parts, parts)


@lowers(aten.sgn.default, of_complex=True)
def sgn(b: Builder, x: Value) -> Value:
    """sgn(Tensor self) -> Tensor"""
    size = magnitude(b, x)
    zero = b.scalar(0, size.dtype)
    unit = quotient(b, parts_of(b, x), parts_of(b, size))
    nothing = b.binary("eq", size, zero, torch.bool)
    return complex_of(*(b.where(nothing, zero, part) for part in parts_of(b, unit)))


# What changes nothing about real numbers.


@lowers(aten.real.default, aten.resolve_conj.default, aten.resolve_neg.default)
@lowers(aten._conj.default, aten.conj.default)
@lowers(aten.conj_physical.default, aten._conj_physical.default)
def same(b: Builder, x: Value) -> Value:
    """real(Tensor(a) self) -> Tensor(a)"""
    return x
