"""Functions of complex numbers: exponentials, logarithms, roots, powers, angles.

Where functions of C's library are meant, parts of float32 are computed in float64 and rounded once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.angles import atan2_of, hypot_of
from torchtract.lower.ops.compare import signbit
from torchtract.lower.ops.complex_numbers import operand_parts, quotient, times
from torchtract.lower.ops.complex_parts import parts_of
from torchtract.lower.ops.create import numbers_between
from torchtract.lower.ops.elementwise import expm1_of, log1p_of, product
from torchtract.lower.pairs import complex_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

_Parts: TypeAlias = "tuple[Value, Value]"
_Function: TypeAlias = "Callable[[Builder, Value, Value], _Parts]"

#: Stands for infinity in formulas that would take infinities from each other.
_HUGE = 1e150


def _num(b: Builder, number: float, like: Value) -> Value:
    return b.scalar(number, like.dtype)


def _mul(b: Builder, x: Value, y: Value) -> Value:
    return b.binary("mul", x, y)


def _zero_wins(b: Builder, factor: Value, other: Value) -> Value:
    """A product that is the factor where that is zero, however large the other is."""
    zero = b.binary("eq", factor, _num(b, 0, factor), torch.bool)
    return b.where(zero, factor, _mul(b, factor, other))


def _with_sign(b: Builder, size: Value, sign: Value) -> Value:
    size = b.emit("abs", size)
    return b.where(signbit(b, sign), b.emit("neg", size), size)


def _infinite(b: Builder, x: Value) -> Value:
    return b.binary("eq", b.emit("abs", x), _num(b, math.inf, x), torch.bool)


def exp_of(b: Builder, real: Value, imag: Value) -> _Parts:
    """As C has it: no NaN beside what is zero or infinite for its real part."""
    size = b.emit("exp", real)
    known = b.binary("eq", b.binary("sub", imag, imag), _num(b, 0, imag), torch.bool)
    width = b.where(known, b.emit("cos", imag), _num(b, 1, imag))
    height = b.where(known, b.emit("sin", imag), _num(b, 0, imag))
    lost = b.binary("sub", imag, imag)  # NaN for an unknown angle
    none = b.binary("eq", size, _num(b, 0, size), torch.bool)
    endless = b.binary("eq", size, _num(b, math.inf, size), torch.bool)
    width = b.where(b.binary("or", known, b.binary("or", none, endless)), width, lost)
    height = b.where(b.binary("or", known, none), height, lost)
    return _mul(b, size, width), _zero_wins(b, height, size)


def log_of(b: Builder, real: Value, imag: Value) -> _Parts:
    """Its cut is below zero, where the sign of a zero decides."""
    width, height, one = b.emit("abs", real), b.emit("abs", imag), _num(b, 1, real)
    flat = b.binary("ge", width, height, torch.bool)
    long, short = b.where(flat, width, height), b.where(flat, height, width)
    # |z|**2 - 1, for lengths near one.
    beyond = _mul(b, b.binary("sub", long, one), b.binary("add", long, one))
    beyond = b.binary("add", beyond, product(b, short, short))
    length = b.emit("log", hypot_of(b, real, imag))
    return _log_near_one(b, beyond, length), atan2_of(b, imag, real)


def _log_near_one(b: Builder, beyond: Value, log: Value) -> Value:
    """The logarithm of a length, by how far its square is beyond one where that is little."""
    near = b.binary("lt", b.emit("abs", beyond), b.scalar(0.5, beyond.dtype), torch.bool)
    return b.where(near, _mul(b, log1p_of(b, beyond), b.scalar(0.5, beyond.dtype)), log)


def _log1p(b: Builder, real: Value, imag: Value) -> _Parts:
    one = _num(b, 1, real)
    length = hypot_of(b, b.binary("add", real, one), imag)
    # |1 + z|**2 - 1, for lengths near one.
    beyond = b.binary("add", b.binary("add", real, real), product(b, real, real))
    beyond = b.binary("add", beyond, product(b, imag, imag))
    size = _log_near_one(b, beyond, b.emit("log", length))
    return size, atan2_of(b, imag, b.binary("add", real, one))


def _expm1(b: Builder, real: Value, imag: Value) -> _Parts:
    half = b.emit("sin", _mul(b, imag, _num(b, 0.5, imag)))
    bent = _mul(b, product(b, half, half), _num(b, 2, real))
    grown = _mul(b, expm1_of(b, real), b.emit("cos", imag))
    return b.binary("sub", grown, bent), _mul(b, b.emit("exp", real), b.emit("sin", imag))


def sqrt_of(b: Builder, real: Value, imag: Value) -> _Parts:
    """The root to the right of zero; its cut is below zero, as the logarithm's."""
    half = _num(b, 0.5, real)
    length = _mul(b, hypot_of(b, real, imag), half)
    longer = b.emit("sqrt", b.binary("add", length, _mul(b, b.emit("abs", real), half)))
    zero = b.binary("eq", longer, _num(b, 0, real), torch.bool)
    divisor = b.where(zero, _num(b, 1, real), longer)
    shorter = b.binary("div", _mul(b, b.emit("abs", imag), half), divisor)
    endless = _infinite(b, imag)
    shorter = b.where(endless, b.emit("abs", imag), shorter)
    left = signbit(b, real)
    return b.where(left, shorter, longer), _with_sign(b, b.where(left, longer, shorter), imag)


def _sinh(b: Builder, real: Value, imag: Value) -> _Parts:
    return (
        _zero_wins(b, b.emit("sinh", real), b.emit("cos", imag)),
        _zero_wins(b, b.emit("sin", imag), b.emit("cosh", real)),
    )


def _cosh(b: Builder, real: Value, imag: Value) -> _Parts:
    sine = b.emit("sin", imag)
    height = _zero_wins(b, sine, b.emit("sinh", real))
    zero = b.binary("eq", real, _num(b, 0, real), torch.bool)
    flat = _mul(b, real, _with_sign(b, _num(b, 1, sine), sine))
    return _mul(b, b.emit("cosh", real), b.emit("cos", imag)), b.where(zero, flat, height)


def _tanh(b: Builder, real: Value, imag: Value) -> _Parts:
    far = b.binary("gt", b.emit("abs", real), _num(b, 20, real), torch.bool)
    t = b.emit("tan", imag)
    s = b.emit("sinh", b.where(far, _num(b, 1, real), real))
    beta = b.binary("add", product(b, t, t), _num(b, 1, t))
    square = product(b, s, s)
    rho = b.emit("sqrt", b.binary("add", square, _num(b, 1, s)))
    divisor = b.binary("add", _mul(b, beta, square), _num(b, 1, s))
    near = b.binary("div", _mul(b, _mul(b, beta, rho), s), divisor)
    tail = b.emit("exp", _mul(b, b.emit("abs", real), _num(b, -2, real)))
    wave = _mul(b, _mul(b, b.emit("sin", imag), b.emit("cos", imag)), _num(b, 4, imag))
    known = b.binary("add", _num(b, 1, real), b.binary("sub", wave, wave))
    width = b.where(far, _with_sign(b, known, real), near)
    zero = b.binary("eq", real, _num(b, 0, real), torch.bool)
    height = b.where(far, _mul(b, wave, tail), b.binary("div", t, divisor))
    return b.where(zero, real, width), height


def _roots(b: Builder, real: Value, imag: Value) -> tuple[_Parts, _Parts]:
    """Roots of 1 - z and 1 + z."""
    one = _num(b, 1, real)
    below = sqrt_of(b, b.binary("sub", one, real), b.emit("neg", imag))
    return below, sqrt_of(b, b.binary("add", one, real), imag)


def _finite(function: _Function, endless: int | None = None) -> _Function:
    """Infinities made huge, and the part of the result made infinite that is so then, if one is."""

    def of_finite(b: Builder, real: Value, imag: Value) -> _Parts:
        far = [_infinite(b, part) for part in (real, imag)]
        huge = _num(b, _HUGE, real)
        parts = [
            b.where(f, _with_sign(b, huge, part), part)
            for f, part in zip(far, (real, imag), strict=True)
        ]
        results = list(function(b, *parts))
        if endless is None:
            return results[0], results[1]
        limit = _with_sign(b, _num(b, math.inf, real), results[endless])
        known = b.binary("eq", results[endless], results[endless], torch.bool)
        either = b.binary("and", b.binary("or", far[0], far[1]), known)
        results[endless] = b.where(either, limit, results[endless])
        return results[0], results[1]

    return of_finite


def _asin_finite(b: Builder, real: Value, imag: Value) -> _Parts:
    (p, q), (r, s) = _roots(b, real, imag)
    width = b.binary("sub", _mul(b, p, r), _mul(b, q, s))
    # The imaginary part of conj(sqrt(1 - z)) * sqrt(1 + z).
    height = b.binary("sub", _mul(b, p, s), _mul(b, q, r))
    return atan2_of(b, real, width), b.emit("asinh", height)


def _acos_finite(b: Builder, real: Value, imag: Value) -> _Parts:
    (p, q), (r, s) = _roots(b, real, imag)
    height = b.binary("sub", _mul(b, r, q), _mul(b, s, p))
    return _mul(b, atan2_of(b, p, r), _num(b, 2, p)), b.emit("asinh", height)


def _acosh_finite(b: Builder, real: Value, imag: Value) -> _Parts:
    one = _num(b, 1, real)
    p, q = sqrt_of(b, b.binary("sub", real, one), imag)
    r, s = sqrt_of(b, b.binary("add", real, one), imag)
    width = b.binary("add", _mul(b, p, r), _mul(b, q, s))
    return b.emit("asinh", width), _mul(b, atan2_of(b, q, r), _num(b, 2, q))


def _atanh_finite(b: Builder, real: Value, imag: Value) -> _Parts:
    """By logarithms of 1 + z and 1 - z, of which only the lengths' ratio matters."""
    one = _num(b, 1, real)
    up, down = b.binary("add", one, real), b.binary("sub", one, real)
    square = product(b, imag, imag)
    # (1 - |x|)**2 + y**2 is what the length divides by on the nearer side.
    near = b.binary("sub", one, b.emit("abs", real))
    apart = b.binary("add", product(b, near, near), square)
    ratio = b.binary("div", _mul(b, b.emit("abs", real), _num(b, 4, real)), apart)
    size = _mul(b, log1p_of(b, ratio), _num(b, 0.25, real))
    turn = b.binary("sub", _mul(b, down, up), square)
    angle = atan2_of(b, b.binary("add", imag, imag), turn)
    return _with_sign(b, size, real), _mul(b, angle, _num(b, 0.5, real))


def _times_i(function: _Function) -> _Function:
    """`-i f(i z)`: a function of angles from its hyperbolic twin, or the other way round."""

    def turned(b: Builder, real: Value, imag: Value) -> _Parts:
        width, height = function(b, b.emit("neg", imag), real)
        return height, b.emit("neg", width)

    return turned


def _cos(b: Builder, real: Value, imag: Value) -> _Parts:
    return _cosh(b, b.emit("neg", imag), real)


def _to_base(base: float) -> _Function:
    def log(b: Builder, real: Value, imag: Value) -> _Parts:
        parts = log_of(b, real, imag)
        factor = _num(b, 1 / math.log(base), real)
        return _mul(b, parts[0], factor), _mul(b, parts[1], factor)

    return log


_asin = _finite(_asin_finite, 1)
_atanh = _finite(_atanh_finite)

#: Functions that are C's, by their overload.
_FUNCTIONS: dict[Any, _Function] = {
    aten.exp.default: exp_of,
    aten.log.default: log_of,
    aten.log2.default: _to_base(2),
    aten.log10.default: _to_base(10),
    aten.log1p.default: _log1p,
    aten.sqrt.default: sqrt_of,
    aten.sinh.default: _sinh,
    aten.cosh.default: _cosh,
    aten.tanh.default: _tanh,
    aten.sin.default: _times_i(_sinh),
    aten.cos.default: _cos,
    aten.tan.default: _times_i(_tanh),
    aten.asin.default: _asin,
    aten.acos.default: _finite(_acos_finite, 1),
    aten.acosh.default: _finite(_acosh_finite, 0),
    aten.asinh.default: _times_i(_asin),
    aten.atanh.default: _atanh,
    aten.atan.default: _times_i(_atanh),
}


def _wide(b: Builder, function: _Function, x: Value) -> Value:
    dtype = b.result.dtype.to_real()
    require(dtype != torch.float16, "tract computes complex numbers of float32 and float64 only")
    parts = function(b, *parts_of(b, x, torch.float64))
    return complex_of(*(b.cast(part, dtype) for part in parts))


def _lowering(function: _Function) -> Callable[..., Value]:
    @functools.wraps(function)
    def of_complex(b: Builder, x: Value) -> Value:
        return _wide(b, function, x)

    del of_complex.__wrapped__  # its parameters are the schema's, not the function's
    return of_complex


for _overload, _function in _FUNCTIONS.items():
    lowers(_overload, of_complex=True)(_lowering(_function))


@lowers(aten.exp2.default, of_complex=True)
def exp2(b: Builder, x: Value) -> Value:
    """exp2(Tensor self) -> Tensor"""
    parts = parts_of(b, x)  # PyTorch rounds what it takes the exponential of
    scaled = [_mul(b, part, _num(b, math.log(2), part)) for part in parts]
    return _wide(b, exp_of, complex_of(*scaled))


@lowers(aten.expm1.default, of_complex=True)
def expm1(b: Builder, x: Value) -> Value:
    """expm1(Tensor self) -> Tensor"""
    real, imag = parts_of(b, x)
    height = _mul(b, b.emit("exp", real), b.emit("sin", imag))  # infinite where PyTorch's is
    return complex_of(_wide(b, _expm1, x).real, height)


@lowers(aten.rsqrt.default, of_complex=True)
def rsqrt(b: Builder, x: Value) -> Value:
    """rsqrt(Tensor self) -> Tensor"""
    root = _wide(b, sqrt_of, x)
    return quotient(b, operand_parts(b, 1), operand_parts(b, root))


@lowers(aten.sigmoid.default, of_complex=True)
def sigmoid(b: Builder, x: Value) -> Value:
    """sigmoid(Tensor self) -> Tensor"""
    return quotient(b, operand_parts(b, 1), _one_and_exp_of_negative(b, x))


@lowers(aten.silu.default, of_complex=True)
def silu(b: Builder, x: Value) -> Value:
    """silu(Tensor self) -> Tensor"""
    return quotient(b, operand_parts(b, x), _one_and_exp_of_negative(b, x))


def _one_and_exp_of_negative(b: Builder, x: Value) -> _Parts:
    real, imag = exp_of(b, *(b.emit("neg", part) for part in parts_of(b, x)))
    return b.binary("add", real, b.scalar(1, real.dtype)), imag


@lowers(aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.pow.Scalar, of_complex=True)
def pow_(b: Builder, x: Any, exponent: Any) -> Value:
    """pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor"""
    if not isinstance(exponent, Value) and (simple := _simple_power(b, x, complex(exponent))):
        return simple
    dtype = b.result.dtype.to_real()
    base, power = (
        parts_of(b, complex_of(*operand_parts(b, operand)), torch.float64)
        for operand in (x, exponent)
    )
    raised = exp_of(b, *parts_of(b, times(b, power, log_of(b, *base))))
    return complex_of(*(b.cast(part, dtype) for part in raised))


@lowers(aten.logspace.default, of_complex=True)
def logspace(
    b: Builder, start: Any, end: Any, steps: Any, base: float = 10.0, dtype: Any = None
) -> Value:
    """logspace(Scalar start, Scalar end, int steps, float base=10.0, *, ScalarType? dtype=None)"""
    steps = static_int(steps, "its number of steps")
    numbers = torch.logspace(start, end, steps, base, dtype=b.result.dtype)
    return complex_of(b.constant(numbers.real.clone()), b.constant(numbers.imag.clone()))


@lowers(aten.logspace.Tensor_Tensor, of_complex=True)
@lowers(aten.logspace.Tensor_Scalar, aten.logspace.Scalar_Tensor, of_complex=True)
def logspace_between(
    b: Builder, start: Any, end: Any, steps: Any, base: float = 10.0, dtype: Any = None
) -> Value:
    """logspace.Tensor_Tensor(Tensor start, Tensor end, int steps, float base=10.0, *, ...)"""
    return pow_(b, base, linspace_between(b, start, end, steps))


@lowers(aten.linspace.Tensor_Tensor, of_complex=True)
@lowers(aten.linspace.Tensor_Scalar, aten.linspace.Scalar_Tensor, of_complex=True)
def linspace_between(b: Builder, start: Any, end: Any, steps: Any, dtype: Any = None) -> Value:
    """linspace.Tensor_Tensor(Tensor start, Tensor end, int steps, *, ScalarType? dtype=None)"""
    require(b.result.dtype.is_complex, "torch.export takes it for real numbers; give its dtype")
    ends = zip(operand_parts(b, start), operand_parts(b, end), strict=True)
    return complex_of(*(numbers_between(b, *parts, steps) for parts in ends))


def _simple_power(b: Builder, x: Value, exponent: complex) -> Value | None:
    """A power that PyTorch has a shorter way for."""
    parts = operand_parts(b, x)
    if exponent == 0:
        return complex_of(*(b.full(n, parts[0].dtype, b.result.shape) for n in (1, 0)))
    if exponent == 1:
        return complex_of(*parts)
    if exponent in (2, 3):
        square = times(b, parts, parts)
        return square if exponent == 2 else times(b, parts_of(b, square), parts)
    if exponent == 0.5:
        return _wide(b, sqrt_of, x)
    if exponent == -0.5:
        return rsqrt(b, x)
    if exponent in (-1, -2):
        divisor = parts if exponent == -1 else parts_of(b, times(b, parts, parts))
        return quotient(b, operand_parts(b, 1), divisor)
    return None
