"""Comparison, logic on truth values and bits, and selection by a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import require
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

__all__ = ["clamped", "is_infinite"]

aten = torch.ops.aten

# Comparison.

_COMPARISONS = {
    "eq": (aten.eq.Tensor, aten.eq.Scalar),
    "ne": (aten.ne.Tensor, aten.ne.Scalar, aten.not_equal.Tensor, aten.not_equal.Scalar),
    "lt": (aten.lt.Tensor, aten.lt.Scalar, aten.less.Tensor, aten.less.Scalar),
    "le": (aten.le.Tensor, aten.le.Scalar, aten.less_equal.Tensor, aten.less_equal.Scalar),
    "gt": (aten.gt.Tensor, aten.gt.Scalar, aten.greater.Tensor, aten.greater.Scalar),
    "ge": (aten.ge.Tensor, aten.ge.Scalar, aten.greater_equal.Tensor, aten.greater_equal.Scalar),
}


def _comparison(op: str) -> Callable[[Builder, Value, Operand], Value]:
    def compare(b: Builder, x: Value, other: Operand) -> Value:
        x, other = b.promote(x, other)
        if x.dtype == torch.bool:  # tract compares numbers only
            x, other = b.promote(x, other, dtype=torch.uint8)
        return b.binary(op, x, other, torch.bool)

    return compare


for _op, _overloads in _COMPARISONS.items():
    lowers(*_overloads)(_comparison(_op))


@lowers(aten.isnan.default)
def isnan(b: Builder, x: Value) -> Value:
    """isnan(Tensor self) -> Tensor"""
    if not x.dtype.is_floating_point:
        return b.full(False, torch.bool, x.shape)
    return b.binary("ne", x, x, torch.bool)


@lowers(aten.isinf.default)
def isinf(b: Builder, x: Value) -> Value:
    """isinf(Tensor self) -> Tensor"""
    if not x.dtype.is_floating_point:
        return b.full(False, torch.bool, x.shape)
    return is_infinite(b, b.emit("abs", x))


@lowers(aten.isposinf.default)
def isposinf(b: Builder, x: Value) -> Value:
    """isposinf(Tensor self) -> Tensor"""
    if not x.dtype.is_floating_point:
        return b.full(False, torch.bool, x.shape)
    return is_infinite(b, x)


@lowers(aten.isneginf.default)
def isneginf(b: Builder, x: Value) -> Value:
    """isneginf(Tensor self) -> Tensor"""
    if not x.dtype.is_floating_point:
        return b.full(False, torch.bool, x.shape)
    return b.binary("eq", x, b.scalar(-torch.inf, x.dtype), torch.bool)


@lowers(aten.isfinite.default)
def isfinite(b: Builder, x: Value) -> Value:
    """isfinite(Tensor self) -> Tensor"""
    if not x.dtype.is_floating_point:
        return b.full(True, torch.bool, x.shape)
    return b.binary("lt", b.emit("abs", x), b.scalar(torch.inf, x.dtype), torch.bool)


@lowers(aten.signbit.default)
def signbit(b: Builder, x: Value) -> Value:
    """signbit(Tensor self) -> Tensor"""
    if x.dtype == torch.bool:
        return b.full(False, torch.bool, x.shape)
    zero = b.scalar(0, x.dtype)
    below = b.binary("lt", x, zero, torch.bool)
    if not x.dtype.is_floating_point:
        return below
    # The sign of a zero is its reciprocal's. A NaN counts as positive.
    return b.binary("or", below, b.binary("lt", b.emit("recip", x), zero, torch.bool))


def is_infinite(b: Builder, x: Value) -> Value:
    """Where a floating-point tensor is positive infinity."""
    return b.binary("eq", x, b.scalar(torch.inf, x.dtype), torch.bool)


# Logic.

_LOGICAL = {
    aten.logical_and.default: "and",
    aten.logical_or.default: "or",
    aten.logical_xor.default: "tract_core_xor",
}

_BITWISE = {
    "tract_core_bitand": (
        *(aten.bitwise_and.Tensor, aten.bitwise_and.Scalar, aten.bitwise_and.Scalar_Tensor),
        *(aten.__and__.Tensor, aten.__and__.Scalar),
    ),
    "tract_core_bitor": (
        *(aten.bitwise_or.Tensor, aten.bitwise_or.Scalar, aten.bitwise_or.Scalar_Tensor),
        *(aten.__or__.Tensor, aten.__or__.Scalar),
    ),
    "tract_core_bitxor": (
        *(aten.bitwise_xor.Tensor, aten.bitwise_xor.Scalar, aten.bitwise_xor.Scalar_Tensor),
        *(aten.__xor__.Tensor, aten.__xor__.Scalar),
    ),
}

#: What bitwise operators are on truth values, in operators that older tracts have too.
_ON_BOOL = {
    "tract_core_bitand": "and",
    "tract_core_bitor": "or",
    "tract_core_bitxor": "tract_core_xor",
}


def _logical(op: str) -> Callable[[Builder, Value, Value], Value]:
    def combine(b: Builder, x: Value, other: Value) -> Value:
        x, other = b.promote(x, other, dtype=torch.bool)
        return b.binary(op, x, other)

    return combine


def _bitwise(op: str) -> Callable[[Builder, Operand, Operand], Value]:
    def combine(b: Builder, x: Operand, other: Operand) -> Value:
        x, other = b.promote(x, other, dtype=b.result.dtype)
        return b.binary(_ON_BOOL[op] if x.dtype == torch.bool else op, x, other)

    return combine


for _overload, _op in _LOGICAL.items():
    lowers(_overload)(_logical(_op))
for _op, _bitwise_overloads in _BITWISE.items():
    lowers(*_bitwise_overloads)(_bitwise(_op))


@lowers(aten.logical_not.default)
def logical_not(b: Builder, x: Value) -> Value:
    """logical_not(Tensor self) -> Tensor"""
    if x.dtype == torch.bool:
        return b.emit("not", x)
    return b.binary("eq", x, b.scalar(0, x.dtype), torch.bool)


@lowers(aten.bitwise_not.default)
def bitwise_not(b: Builder, x: Value) -> Value:
    """bitwise_not(Tensor self) -> Tensor"""
    return b.emit("not" if x.dtype == torch.bool else "tract_core_bitnot", x)


@lowers(aten.bitwise_left_shift.Tensor, aten.bitwise_left_shift.Tensor_Scalar)
@lowers(aten.__lshift__.Tensor, aten.__lshift__.Scalar, aten.bitwise_left_shift.Scalar_Tensor)
def left_shift(b: Builder, x: Operand, other: Operand) -> Value:
    """bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor"""
    x, amount, outside = _shift_operands(b, x, other)
    shifted = b.binary("tract_shl", x, amount)
    return shifted if outside is None else b.where(outside, b.scalar(0, x.dtype), shifted)


@lowers(aten.bitwise_right_shift.Tensor, aten.bitwise_right_shift.Tensor_Scalar)
@lowers(aten.__rshift__.Tensor, aten.__rshift__.Scalar, aten.bitwise_right_shift.Scalar_Tensor)
def right_shift(b: Builder, x: Operand, other: Operand) -> Value:
    """bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor"""
    x, amount, outside = _shift_operands(b, x, other)
    shifted = b.binary("tract_shr", x, amount)
    if x.dtype.is_signed or outside is None:
        return shifted
    return b.where(outside, b.scalar(0, x.dtype), shifted)


def _shift_operands(b: Builder, x: Operand, other: Operand) -> tuple[Value, Value, Value | None]:
    """The operands, amounts limited to the number of bits, and where they had been beyond.

    PyTorch shifts everything out there (and for negative amounts); tract leaves it undefined.
    """
    dtype = b.result.dtype
    require(not dtype.is_floating_point, "tract shifts integers only")
    last = torch.iinfo(dtype).bits - 1
    if not isinstance(other, Value) and 0 <= other <= last:
        x, other = b.promote(x, other, dtype=dtype)
        return x, other, None
    x, other = b.promote(x, other, dtype=dtype)
    below = b.binary("lt", other, b.scalar(0, dtype), torch.bool)
    outside = b.binary("or", below, b.binary("gt", other, b.scalar(last, dtype), torch.bool))
    return x, b.where(outside, b.scalar(last, dtype), other), outside


# The larger and the smaller. Of a number and NaN tract takes the number.


@lowers(aten.maximum.default, aten.max.other)
def maximum(b: Builder, x: Value, other: Value) -> Value:
    """maximum(Tensor self, Tensor other) -> Tensor"""
    x, other = b.promote(x, other, dtype=b.result.dtype)
    return b.binary("or" if x.dtype == torch.bool else "max", x, other)


@lowers(aten.minimum.default, aten.min.other)
def minimum(b: Builder, x: Value, other: Value) -> Value:
    """minimum(Tensor self, Tensor other) -> Tensor"""
    x, other = b.promote(x, other, dtype=b.result.dtype)
    return b.binary("and" if x.dtype == torch.bool else "min", x, other)


def _register_extreme_number(overload: OpOverload, op: str) -> None:
    @lowers(overload)
    def extreme(b: Builder, x: Value, other: Value) -> Value:
        x, other = b.promote(x, other, dtype=b.result.dtype)
        if x.dtype == torch.bool:
            return b.binary("or" if op == "max" else "and", x, other)
        of_numbers = b.where(isnan(b, x), other, b.binary(op, x, other))
        return b.where(isnan(b, other), x, of_numbers)


_register_extreme_number(aten.fmax.default, "max")
_register_extreme_number(aten.fmin.default, "min")


@lowers(aten.clamp.default, aten.clamp.Tensor, aten.clip.default, aten.clip.Tensor)
def clamp(b: Builder, x: Value, min: Operand | None = None, max: Operand | None = None) -> Value:
    """clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor"""
    return clamped(b, x, min, max, b.result.dtype)


@lowers(aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(b: Builder, x: Value, min: Operand) -> Value:
    """clamp_min(Tensor self, Scalar min) -> Tensor"""
    return clamped(b, x, min, None, b.result.dtype)


@lowers(aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(b: Builder, x: Value, max: Operand) -> Value:
    """clamp_max(Tensor self, Scalar max) -> Tensor"""
    return clamped(b, x, None, max, b.result.dtype)


def clamped(
    b: Builder, x: Value, low: Operand | None, high: Operand | None, dtype: torch.dtype
) -> Value:
    """Limited to `low` and above, then to `high` and below, in this element type."""
    x = b.cast(x, dtype)
    larger, smaller = ("or", "and") if dtype == torch.bool else ("max", "min")
    if low is not None:
        x = b.binary(larger, x, b.tensor(low, dtype))
    if high is not None:
        x = b.binary(smaller, x, b.tensor(high, dtype))
    return x


# Selection.


@lowers(aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther, aten.where.Scalar)
def where(b: Builder, condition: Value, x: Operand, other: Operand) -> Value:
    """where.self(Tensor condition, Tensor self, Tensor other) -> Tensor"""
    x, other = b.promote(x, other, dtype=b.result.dtype)
    return b.where(b.cast(condition, torch.bool), x, other)


@lowers(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def masked_fill(b: Builder, x: Value, mask: Value, value: Operand) -> Value:
    """masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor"""
    return b.where(b.cast(mask, torch.bool), b.tensor(value, x.dtype), x)


@lowers(aten.nan_to_num.default)
def nan_to_num(
    b: Builder,
    x: Value,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Value:
    """nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor"""
    if not x.dtype.is_floating_point:
        return x
    limits: Any = torch.finfo(x.dtype)
    replacements = (
        (is_infinite(b, x), limits.max if posinf is None else posinf),
        (isneginf(b, x), limits.min if neginf is None else neginf),
        (isnan(b, x), nan or 0.0),
    )
    for condition, number in replacements:
        x = b.where(condition, b.scalar(number, x.dtype), x)
    return x
