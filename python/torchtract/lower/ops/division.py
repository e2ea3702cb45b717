"""Division, rounded or not, and its remainders."""

from __future__ import annotations

import math

import sympy
import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.ops.elementwise import truncated
from torchtract.lower.ops.half_precision import with_all_digits_of
from torchtract.lower.ops.products import is_extreme, product
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, broadcast_shapes

aten = torch.ops.aten

#: Of numbers up to this one, `_halves` makes no infinity.
_LARGEST_SPLIT = 1e290


@lowers(aten.div.Tensor, aten.div.Scalar, aten.divide.Tensor, aten.divide.Scalar)
@lowers(aten.true_divide.Tensor, aten.true_divide.Scalar)
def div(b: Builder, x: Value, other: Operand) -> Value:
    """div.Tensor(Tensor self, Tensor other) -> Tensor"""
    whole = all(not o.dtype.is_floating_point for o in (x, other) if isinstance(o, Value))
    if not whole:
        dtype = torch.float32 if _loses_digits(b, other) else b.result.dtype
        return b.cast(_quotient(b, *b.promote(x, other, dtype=dtype)), b.result.dtype)
    # tract multiplies by the reciprocal, so whole quotients come out whole in float64 only.
    x, other = _doubled(b, x, other)
    return b.cast(b.binary("div", x, other), b.result.dtype)


def _loses_digits(b: Builder, other: Operand) -> bool:
    """Whether the inverse of a half-precision divisor is rounded, and the quotient once more."""
    number = b.uniform(other) if isinstance(other, Value) else other
    exact = isinstance(number, (int, float)) and abs(math.frexp(number)[0]) == 0.5
    return b.result.dtype == torch.float16 and not exact


def _quotient(b: Builder, x: Value, y: Value) -> Value:
    """A quotient, which tract makes a product with the inverse."""
    if b.uniform(x) == 0:  # of which tract would have zeros only
        y = b.broadcast(y, broadcast_shapes(x.shape, y.shape))
        size = b.emit("abs", y)
        usual = b.binary("gt", size, b.scalar(0, y.dtype), torch.bool)
        return b.where(usual, b.scalar(0, y.dtype), b.scalar(math.nan, y.dtype))
    if is_extreme(b, y):
        number = b.uniform(y)
        if y.dtype == torch.float64 and number:
            return product(b, x, b.scalar(1 / number, y.dtype))
        return b.emit("neg", b.binary("div", b.emit("neg", x), y))
    return b.binary("div", x, y)


@lowers(aten.div.Tensor_mode, aten.div.Scalar_mode)
@lowers(aten.divide.Tensor_mode, aten.divide.Scalar_mode)
@with_all_digits_of("other")
def div_mode(b: Builder, x: Value, other: Operand, rounding_mode: str | None) -> Value:
    """div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor"""
    return div(b, x, other) if rounding_mode is None else _divided(b, x, other, rounding_mode)


@lowers(aten.floor_divide.default, aten.floor_divide.Scalar)
@with_all_digits_of("other")
def floor_divide(b: Builder, x: Value, other: Operand) -> Value:
    """floor_divide(Tensor self, Tensor other) -> Tensor"""
    return _divided(b, x, other, "floor")


@lowers(aten.remainder.Tensor, aten.remainder.Scalar, aten.remainder.Scalar_Tensor)
def remainder(b: Builder, x: Operand, other: Operand) -> Value:
    """remainder.Tensor(Tensor self, Tensor other) -> Tensor"""
    return _remainder(b, x, other, "floor")


@lowers(aten.fmod.Tensor, aten.fmod.Scalar)
def fmod(b: Builder, x: Value, other: Operand) -> Value:
    """fmod.Tensor(Tensor self, Tensor other) -> Tensor"""
    return _remainder(b, x, other, "trunc")


def _divided(b: Builder, x: Operand, other: Operand, mode: str) -> Value:
    dtype = b.result.dtype
    if dtype.is_floating_point:
        x, other = _doubled(b, x, other)
        if mode == "floor":
            return b.cast(_floored(b, x, other, exactly=dtype == torch.float64), dtype)
        if dtype == torch.float64:
            return _rounded_quotient(b, x, other, mode)
        # PyTorch cuts what it has rounded.
        return truncated(b, b.cast(b.binary("div", x, other), dtype))
    above_zero = _is_above_zero(other)
    x, other = b.promote(x, other, dtype=dtype)
    quotient = b.binary("div", x, other)
    if mode == "floor" and dtype.is_signed:
        rest = b.binary("sub", x, b.binary("mul", quotient, other))
        wrong = _wrong_sign(b, rest, other, above_zero)
        quotient = b.binary("sub", quotient, b.cast(wrong, dtype))
    return quotient


def _floored(b: Builder, x: Value, y: Value, exactly: bool) -> Value:
    """The floor of a quotient of float64 tensors, which may stand for those of fewer digits."""
    quotient = _rounded_quotient(b, x, y, "floor")
    if exactly:
        exact, _, known = _exact_division(b, x, y, "floor")
        quotient = b.where(known, exact, quotient)
    differ = _wrong_sign(b, x, y, False)
    beyond = b.where(differ, b.scalar(-1, x.dtype), b.scalar(0, x.dtype))
    return _with_infinities(b, x, y, quotient, beyond)


def _remainder(b: Builder, x: Operand, other: Operand, mode: str) -> Value:
    dtype = b.result.dtype
    if dtype.is_floating_point:
        x, other = _doubled(b, x, other)
        quotient = _rounded_quotient(b, x, other, mode)
        rest = b.binary("sub", x, b.binary("mul", quotient, other))
        if dtype == torch.float64:
            _, exact, known = _exact_division(b, x, other, mode)
            rest = b.where(known, exact, rest)
        beyond = x if mode == "trunc" else b.where(_wrong_sign(b, x, other, False), other, x)
        return b.cast(_with_infinities(b, x, other, rest, beyond), dtype)
    above_zero = _is_above_zero(other)
    x, other = b.promote(x, other, dtype=dtype)
    rest = b.binary("sub", x, b.binary("mul", b.binary("div", x, other), other))
    if mode == "floor" and dtype.is_signed:
        wrong = _wrong_sign(b, rest, other, above_zero)
        rest = b.where(wrong, b.binary("add", rest, other), rest)
    return rest


def _doubled(b: Builder, x: Operand, other: Operand) -> tuple[Value, ...]:
    """The operands in float64, after they were rounded to the result's type."""
    return b.promote(*b.promote(x, other, dtype=b.result.dtype), dtype=torch.float64)


def _rounded_quotient(b: Builder, x: Value, y: Value, mode: str) -> Value:
    """The quotient of float64 tensors, rounded as if it had been exact.

    tract multiplies by the reciprocal, which can turn 3 into 2.9999999999999996. What was
    float32 has no other quotient within 2 ** -49 of a whole number: push that far away.
    """
    quotient = b.binary("div", x, y)
    margin = b.binary("mul", quotient, b.scalar(2.0**-50, x.dtype))
    away = b.binary("add", quotient, margin)
    if mode == "trunc":
        return truncated(b, away)
    return b.emit("floor", b.binary("max", away, b.binary("sub", quotient, margin)))


def _with_infinities(b: Builder, x: Value, y: Value, found: Value, beyond: Value) -> Value:
    """A quotient or a rest of float64 tensors, NaN of an infinite x, and `beyond` of such a y."""
    endless = b.scalar(math.inf, x.dtype)
    number = b.uniform(y)
    if number is None or math.isinf(number):
        infinite = b.binary("eq", b.emit("abs", y), endless, torch.bool)
        found = b.where(infinite, beyond, found)
    finite = b.binary("lt", b.emit("abs", x), endless, torch.bool)
    return b.where(finite, found, b.scalar(math.nan, x.dtype))


def _exact_division(b: Builder, x: Value, y: Value, mode: str) -> tuple[Value, Value, Value]:
    """Quotient and rest of float64 tensors with all digits, and where these are known.

    They are not where the quotient is 2 ** 52 or more, or no number.
    """
    nearest = b.emit("floor", b.binary("add", b.binary("div", x, y), b.scalar(0.5, x.dtype)))
    product, lost = _product_and_lost(b, nearest, y)
    rest = b.binary("sub", b.binary("sub", x, product), lost)
    # Beyond a half the nearest quotient is one too far, and the rest has another sign.
    wrong = _wrong_sign(b, rest, y if mode == "floor" else x, False)
    step = b.scalar(1, x.dtype)
    if mode == "trunc":  # the quotient may be below zero, and is one too far there the other way
        step = b.where(_wrong_sign(b, y, x, False), b.scalar(-1, x.dtype), step)
    quotient = b.where(wrong, b.binary("sub", nearest, step), nearest)
    rest = b.where(wrong, b.binary("add", rest, b.binary("mul", y, step)), rest)
    small, short = (
        b.binary("lt", b.emit("abs", v), b.scalar(limit, x.dtype), torch.bool)
        for v, limit in ((nearest, 2.0**52), (y, _LARGEST_SPLIT))
    )
    return quotient, rest, b.binary("and", small, short)


def _product_and_lost(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """A product of float64 tensors, and what rounding it has lost.

    Source: Dekker, A floating-point technique for extending the available precision, 1971.
    """
    product = b.binary("mul", x, y)
    (x_high, x_low), (y_high, y_low) = (_halves(b, v) for v in (x, y))
    lost = b.binary("sub", b.binary("mul", x_high, y_high), product)
    for one, other in ((x_high, y_low), (x_low, y_high), (x_low, y_low)):
        lost = b.binary("add", lost, b.binary("mul", one, other))
    return product, lost


def _halves(b: Builder, x: Value) -> tuple[Value, Value]:
    """The upper 26 digits of a float64 tensor, and the others."""
    shifted = b.binary("mul", x, b.scalar(2.0**27 + 1, x.dtype))
    high = b.binary("sub", shifted, b.binary("sub", shifted, x))
    return high, b.binary("sub", x, high)


def _wrong_sign(b: Builder, rest: Value, divisor: Value, above_zero: bool) -> Value:
    """Where the remainder of a division that truncates has not the divisor's sign."""
    zero = b.scalar(0, rest.dtype)
    below = b.binary("lt", rest, zero, torch.bool)
    if above_zero:
        return below
    differ = b.binary("tract_core_xor", below, b.binary("lt", divisor, zero, torch.bool))
    return b.binary("and", differ, b.binary("ne", rest, zero, torch.bool))


def _is_above_zero(operand: Operand) -> bool:
    if isinstance(operand, sympy.Expr):
        return bool(operand.is_positive)
    return not isinstance(operand, Value) and operand > 0
