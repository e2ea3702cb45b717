"""Elementwise arithmetic and functions of one, two and three tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import Refusal
from torchtract.lower.ops.compare import signbit
from torchtract.lower.ops.half_precision import computed_in_float32, with_all_digits_of
from torchtract.lower.ops.products import product
from torchtract.lower.ops.special import erf_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

__all__ = [
    "expm1_of",
    "log1p_of",
    "product",
    "truncated",
]

aten = torch.ops.aten

# Functions of one tensor.

#: Functions that tract has by one name, on floating-point tensors.
_FLOAT_FUNCTIONS = {
    aten.acos.default: "acos",
    aten.acosh.default: "acosh",
    aten.asin.default: "asin",
    aten.asinh.default: "asinh",
    aten.atan.default: "atan",
    aten.atanh.default: "atanh",
    aten.cos.default: "cos",
    aten.cosh.default: "cosh",
    aten.erf.default: "tract_core_erf",
    aten.exp.default: "exp",
    aten.log.default: "log",
    aten.reciprocal.default: "recip",
    aten.rsqrt.default: "rsqrt",
    aten.sin.default: "sin",
    aten.sinh.default: "sinh",
    aten.special_erf.default: "tract_core_erf",
    aten.sqrt.default: "sqrt",
    aten.tan.default: "tan",
    aten.tanh.default: "tanh",
}

#: Functions that keep the element type, integers too.
_NUMBER_FUNCTIONS = {
    aten.abs.default: "abs",
    aten.ceil.default: "ceil",
    aten.floor.default: "floor",
    aten.sgn.default: "sign",
    aten.sign.default: "sign",
}


def _float_function(op: str) -> Callable[[Builder, Value], Value]:
    def function(b: Builder, x: Value) -> Value:
        dtype = b.result.dtype
        if op == "tract_core_erf" and dtype == torch.float64:
            return erf_of(b, b.cast(x, dtype))
        if op in ("acosh", "asinh"):  # whose squares of large numbers are infinite in float32
            return b.cast(b.emit(op, b.cast(x, torch.float64)), dtype)
        return b.emit(op, b.cast(x, dtype))

    return function


def _number_function(op: str) -> Callable[[Builder, Value], Value]:
    def function(b: Builder, x: Value) -> Value:
        if x.dtype == torch.bool:
            return x
        y = b.emit(op, x)
        if op == "sign" and x.dtype.is_floating_point:  # PyTorch's of NaN is zero
            return b.where(b.binary("eq", x, x, torch.bool), y, b.scalar(0, x.dtype))
        return y

    return function


for _overload, _op in _FLOAT_FUNCTIONS.items():
    lowers(_overload)(_float_function(_op))
for _overload, _op in _NUMBER_FUNCTIONS.items():
    lowers(_overload)(_number_function(_op))


@lowers(aten.positive.default)
def positive(b: Builder, x: Value) -> Value:
    """positive(Tensor(a) self) -> Tensor(a)"""
    return x


@lowers(aten.neg.default)
def neg(b: Builder, x: Value) -> Value:
    """neg(Tensor self) -> Tensor"""
    if x.dtype.is_signed:
        return b.emit("neg", x)
    return b.cast(b.emit("neg", b.cast(x, torch.int64)), x.dtype)


@lowers(aten.square.default)
def square(b: Builder, x: Value) -> Value:
    """square(Tensor self) -> Tensor"""
    x = b.cast(x, b.result.dtype)
    return product(b, x, x)


@lowers(aten.exp2.default)
def exp2(b: Builder, x: Value) -> Value:
    """exp2(Tensor self) -> Tensor"""
    x = b.cast(x, b.result.dtype)
    return b.binary("pow", b.scalar(2, x.dtype), x)


@lowers(aten.expm1.default, aten.special_expm1.default)
@computed_in_float32
def expm1(b: Builder, x: Value) -> Value:
    """expm1(Tensor self) -> Tensor"""
    return expm1_of(b, as_float(b, x))


def expm1_of(b: Builder, x: Value) -> Value:
    """`exp(x) - 1` without the cancellation near zero: `tanh(x / 2) * (exp(x) + 1)`."""
    tanh = b.emit("tanh", b.binary("mul", x, b.scalar(0.5, x.dtype)))
    return b.binary("mul", tanh, b.binary("add", b.emit("exp", x), b.scalar(1, x.dtype)))


@lowers(aten.log1p.default, aten.special_log1p.default)
@computed_in_float32
def log1p(b: Builder, x: Value) -> Value:
    """log1p(Tensor self) -> Tensor"""
    return log1p_of(b, as_float(b, x))


def log1p_of(b: Builder, x: Value) -> Value:
    """`log(1 + x)`; where `1 + x` would round digits of x away, `2 * atanh(x / (2 + x))`."""
    small = b.binary("lt", b.emit("abs", x), b.scalar(0.5, x.dtype), torch.bool)
    ratio = b.binary("div", x, b.binary("add", x, b.scalar(2, x.dtype)))
    near_zero = b.binary("mul", b.emit("atanh", ratio), b.scalar(2, x.dtype))
    return b.where(small, near_zero, b.emit("log", b.binary("add", x, b.scalar(1, x.dtype))))


@lowers(aten.log2.default)
def log2(b: Builder, x: Value) -> Value:
    """log2(Tensor self) -> Tensor"""
    return _log_to_base(b, x, 2)


@lowers(aten.log10.default)
def log10(b: Builder, x: Value) -> Value:
    """log10(Tensor self) -> Tensor"""
    return _log_to_base(b, x, 10)


def _log_to_base(b: Builder, x: Value, base: int) -> Value:
    # In float64, so that powers of the base give whole numbers, which people round down.
    natural = b.emit("log", b.cast(x, torch.float64))
    scaled = b.binary("mul", natural, b.scalar(1 / math.log(base), torch.float64))
    return b.cast(scaled, b.result.dtype)


@lowers(aten.trunc.default, aten.fix.default)
def trunc(b: Builder, x: Value) -> Value:
    """trunc(Tensor self) -> Tensor"""
    return truncated(b, x)


def truncated(b: Builder, x: Value) -> Value:
    """Rounded towards zero."""
    if not x.dtype.is_floating_point:
        return x
    below = b.binary("lt", x, b.scalar(0, x.dtype), torch.bool)
    return b.where(below, b.emit("ceil", x), b.emit("floor", x))


@lowers(aten.frac.default)
def frac(b: Builder, x: Value) -> Value:
    """frac(Tensor self) -> Tensor"""
    return b.binary("sub", x, truncated(b, x))


@lowers(aten.round.default)
def round_(b: Builder, x: Value) -> Value:
    """round(Tensor self) -> Tensor"""
    if not x.dtype.is_floating_point:
        return x
    if x.dtype != torch.float64:
        return b.emit("tract_core_round_even", x)
    size = b.emit("abs", x)
    below = b.emit("floor", size)
    apart = b.binary("sub", size, below)
    half = b.scalar(0.5, x.dtype)
    above = b.binary("add", below, b.scalar(1, x.dtype))
    even = b.binary("mul", b.emit("floor", b.binary("mul", above, half)), b.scalar(2, x.dtype))
    nearest = b.where(b.binary("lt", apart, half, torch.bool), below, above)
    nearest = b.where(b.binary("eq", apart, half, torch.bool), even, nearest)
    negative = b.binary("lt", x, b.scalar(0, x.dtype), torch.bool)
    nearest = b.where(negative, b.emit("neg", nearest), nearest)
    # What is whole stays as it is: infinity, which has no distance, and a zero with its sign.
    return b.where(b.binary("eq", size, below, torch.bool), x, nearest)


@lowers(aten.round.decimals)
@computed_in_float32
def round_decimals(b: Builder, x: Value, decimals: int) -> Value:
    """round.decimals(Tensor self, *, int decimals) -> Tensor"""
    if decimals == 0 or not x.dtype.is_floating_point:
        return round_(b, x)
    up, down = ("mul", "div") if decimals > 0 else ("div", "mul")
    power = b.scalar(10 ** abs(decimals), x.dtype)
    return b.binary(down, round_(b, b.binary(up, x, power)), power)


def as_float(b: Builder, x: Value) -> Value:
    """Integers as the default floating-point numbers."""
    return x if x.dtype.is_floating_point else b.cast(x, torch.get_default_dtype())


# Sums and products.


@lowers(aten.add.Tensor, aten.add.Scalar)
def add(b: Builder, x: Value, other: Operand, alpha: Operand = 1) -> Value:
    """add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    return _sum(b, "or" if b.result.dtype == torch.bool else "add", x, other, alpha)


@lowers(aten.sub.Tensor, aten.sub.Scalar, aten.subtract.Tensor, aten.subtract.Scalar)
def sub(b: Builder, x: Value, other: Operand, alpha: Operand = 1) -> Value:
    """sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    return _sum(b, "sub", x, other, alpha)


@lowers(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(b: Builder, x: Value, other: Operand, alpha: Operand = 1) -> Value:
    """rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    return _sum(b, "sub", other, x, alpha)


def _sum(b: Builder, op: str, x: Operand, other: Operand, alpha: Operand) -> Value:
    """A sum or a difference, of half-precision tensors rounded once."""
    dtype = b.result.dtype
    x, other = b.promote(x, other, dtype=dtype)
    if alpha == 1 or dtype != torch.float16:
        return b.binary(op, x, _scaled(b, other, alpha))
    factor = b.cast(b.scalar(alpha, dtype), torch.float32)
    x, other = (b.cast(side, torch.float32) for side in (x, other))
    return b.cast(b.binary(op, x, b.binary("mul", other, factor)), dtype)


@lowers(aten.mul.Tensor, aten.mul.Scalar, aten.multiply.Tensor, aten.multiply.Scalar)
@with_all_digits_of("x", "other")
def mul(b: Builder, x: Value, other: Operand) -> Value:
    """mul.Tensor(Tensor self, Tensor other) -> Tensor"""
    return product(b, *b.promote(x, other, dtype=b.result.dtype))


@lowers(aten.addcmul.default)
@computed_in_float32
def addcmul(b: Builder, x: Value, tensor1: Value, tensor2: Value, value: Operand = 1) -> Value:
    """addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor"""
    x, tensor1, tensor2 = b.promote(x, tensor1, tensor2)
    return b.binary("add", x, product(b, _scaled(b, tensor1, value), tensor2))


@lowers(aten.addcdiv.default)
@computed_in_float32
def addcdiv(b: Builder, x: Value, tensor1: Value, tensor2: Value, value: Operand = 1) -> Value:
    """addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor"""
    x, tensor1, tensor2 = b.promote(x, tensor1, tensor2)
    return b.binary("add", x, b.binary("div", _scaled(b, tensor1, value), tensor2))


@lowers(aten.lerp.Scalar, aten.lerp.Tensor)
@computed_in_float32
def lerp(b: Builder, x: Value, end: Value, weight: Operand) -> Value:
    """lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor"""
    x, end, weight = b.promote(x, end, weight, dtype=x.dtype)
    return b.binary("add", x, b.binary("mul", weight, b.binary("sub", end, x)))


def _scaled(b: Builder, x: Value, factor: Operand) -> Value:
    return x if factor == 1 else product(b, x, b.scalar(factor, x.dtype))


# Powers and signs.


@lowers(aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.pow.Scalar)
def pow_(b: Builder, x: Operand, exponent: Operand) -> Value:
    """pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor"""
    dtype = b.result.dtype
    if not isinstance(exponent, Value) and exponent in (1, 2):
        x = b.tensor(x, dtype)
        return x if exponent == 1 else product(b, x, x)
    if not dtype.is_floating_point:
        return b.cast(_integer_power(b, x, exponent), dtype)
    ops = {0.5: "sqrt", -0.5: "rsqrt", -1: "recip"}
    if not isinstance(exponent, Value) and exponent in ops:
        return b.emit(ops[exponent], b.tensor(x, dtype))
    x, exponent = b.promote(x, exponent, dtype=dtype)
    return b.binary("pow", x, exponent)


def _integer_power(b: Builder, x: Operand, exponent: Operand) -> Value:
    if not isinstance(exponent, (Value, int)):
        raise Refusal(f"the exponent {exponent} of an integer tensor is no fixed number")
    check_sign = isinstance(exponent, Value)
    x, exponent = b.promote(x, exponent, dtype=torch.int64)
    if not check_sign:
        return b.binary("pow", x, exponent)
    # tract takes the exponent for unsigned. 1 and -1 alone have whole inverses.
    zero, one = b.scalar(0, torch.int64), b.scalar(1, torch.int64)
    power = b.binary("pow", x, b.emit("abs", exponent))
    unit = b.binary("eq", b.emit("abs", x), one, torch.bool)
    whole = b.binary("or", unit, b.binary("ge", exponent, zero, torch.bool))
    return b.where(whole, power, zero)


@lowers(aten.copysign.Tensor, aten.copysign.Scalar)
def copysign(b: Builder, x: Value, other: Operand) -> Value:
    """copysign.Tensor(Tensor self, Tensor other) -> Tensor"""
    sign, size = b.tensor(other, b.result.dtype), b.emit("abs", b.cast(x, b.result.dtype))
    return b.where(signbit(b, sign), b.emit("neg", size), size)


@lowers(torch.ops.prims.convert_element_type.default)
def convert_element_type(b: Builder, a: Value, dtype: torch.dtype) -> Value:
    """prims.convert_element_type(Tensor a, ScalarType dtype) -> Tensor"""
    return b.cast(a, b.result.dtype)
