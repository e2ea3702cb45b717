"""Special functions: of the normal distribution, gamma and its derivatives, Bessel's.

Series and rational approximations, all in float64, so that float32 results keep their digits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._ops import OpOverload

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

_Function = Callable[[Builder, Value], Value]


def _in_float64(function: Callable[..., Value]) -> Callable[..., Value]:
    """The function on a float64 tensor, its result rounded once."""

    @functools.wraps(function)
    def doubled(b: Builder, x: Value, **arguments: Any) -> Value:
        return b.cast(function(b, b.cast(x, torch.float64), **arguments), b.result.dtype)

    return doubled


def _number(b: Builder, number: float) -> Value:
    return b.scalar(number, torch.float64)


def _plus(b: Builder, x: Value, number: float) -> Value:
    return b.binary("add", x, _number(b, number))


def _times(b: Builder, x: Value, number: float) -> Value:
    return b.binary("mul", x, _number(b, number))


def _over(b: Builder, number: float, x: Value) -> Value:
    return b.binary("div", _number(b, number), x)


def _less(b: Builder, x: Value, number: float) -> Value:
    return b.binary("lt", x, _number(b, number), torch.bool)


def _equal(b: Builder, x: Value, number: float) -> Value:
    return b.binary("eq", x, _number(b, number), torch.bool)


def _polynomial(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, the constant first, by Horner's rule."""
    *rest, last = coefficients
    value = _number(b, last)
    for coefficient in reversed(rest):
        value = _plus(b, b.binary("mul", value, x), coefficient)
    return value


# The normal distribution.

#: ln(erfcx(x) / t) for t = 2 / (2 + x) and x >= 0, to 1.2e-7 (Numerical Recipes, erfcc).
_ERFCX = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)


@lowers(aten.erfc.default)
@_in_float64
def erfc(b: Builder, x: Value) -> Value:
    """erfc(Tensor self) -> Tensor"""
    size = b.emit("abs", x)
    above = b.binary("mul", _erfcx(b, size), b.emit("exp", _minus_square(b, size)))
    return b.where(_less(b, x, 0), b.binary("sub", _number(b, 2), above), above)


@lowers(aten.special_erfcx.default)
@_in_float64
def erfcx(b: Builder, x: Value) -> Value:
    """special_erfcx(Tensor self) -> Tensor"""
    above = _erfcx(b, b.emit("abs", x))
    below = _times(b, b.emit("exp", b.emit("neg", _minus_square(b, x))), 2)
    return b.where(_less(b, x, 0), b.binary("sub", below, above), above)


def _erfcx(b: Builder, x: Value) -> Value:
    require(b.result.dtype != torch.float64, "its series has the digits of float32")
    t = _over(b, 2, _plus(b, x, 2))
    return b.binary("mul", t, b.emit("exp", _polynomial(b, t, _ERFCX)))


def _minus_square(b: Builder, x: Value) -> Value:
    return b.binary("mul", x, b.emit("neg", x))


#: Numerators and denominators of the normal quantile (Wichura's algorithm AS 241): around the
#: median, in the tails, and far out in them.
_QUANTILE_CENTRE = (
    (
        *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3),
        *(1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4),
        *(3.3430575583588128105e4, 2.5090809287301226727e3),
    ),
    (
        *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
        *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4),
        5.2264952788528545610e3,
    ),
)
_QUANTILE_TAIL = (
    (
        *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0),
        *(3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1),
        *(2.27238449892691845833e-2, 7.74545014278341407640e-4),
    ),
    (
        *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
        *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4),
        1.05075007164441684324e-9,
    ),
)
_QUANTILE_FAR_TAIL = (
    (
        *(6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0),
        *(2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3),
        *(2.71155556874348757815e-5, 2.01033439929228813265e-7),
    ),
    (
        *(1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2),
        *(7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7),
        2.04426310338993978564e-15,
    ),
)


@lowers(aten.erfinv.default)
@_in_float64
def erfinv(b: Builder, x: Value) -> Value:
    """erfinv(Tensor self) -> Tensor"""
    beyond = _times(b, b.binary("sub", _number(b, 1), b.emit("abs", x)), 0.5)
    return _times(b, _normal_quantile(b, _times(b, x, 0.5), beyond), math.sqrt(0.5))


@lowers(aten.special_ndtri.default)
@_in_float64
def ndtri(b: Builder, x: Value) -> Value:
    """special_ndtri(Tensor self) -> Tensor"""
    beyond = b.binary("min", x, b.binary("sub", _number(b, 1), x))
    return _normal_quantile(b, _plus(b, x, -0.5), beyond)


def _normal_quantile(b: Builder, q: Value, beyond: Value) -> Value:
    """The normal quantile of probability `q + 1/2`, of which `beyond` are left in the tail."""
    r = b.binary("sub", _number(b, 0.180625), b.binary("mul", q, q))
    centre = b.binary("mul", q, _ratio(b, r, _QUANTILE_CENTRE))
    root = b.emit("sqrt", b.emit("neg", b.emit("log", beyond)))
    tail = _ratio(b, _plus(b, root, -1.6), _QUANTILE_TAIL)
    far = _ratio(b, _plus(b, root, -5), _QUANTILE_FAR_TAIL)
    tail = b.where(_less(b, root, 5), tail, far)
    tail = b.where(_equal(b, beyond, 0), _number(b, math.inf), tail)
    signed = b.where(_less(b, q, 0), b.emit("neg", tail), tail)
    return b.where(_less(b, b.emit("abs", q), 0.425), centre, signed)


def _ratio(b: Builder, x: Value, parts: tuple[Sequence[float], Sequence[float]]) -> Value:
    numerator, denominator = (_polynomial(b, x, part) for part in parts)
    return b.binary("div", numerator, denominator)


# Gamma and its derivatives: Stirling's series from 8 on, the recurrence below, reflection
# below zero.

_SHIFT = 8
_LGAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


@lowers(aten.lgamma.default)
@_in_float64
def lgamma(b: Builder, x: Value) -> Value:
    """lgamma(Tensor self) -> Tensor"""
    below, y = _reflected(b, x)
    z, steps = _shifted(b, y)
    factor = functools.reduce(lambda p, s: b.binary("mul", p, s), steps)
    log = b.emit("log", z)
    value = b.binary("sub", b.binary("mul", _plus(b, z, -0.5), log), z)
    value = b.binary("add", _plus(b, value, 0.5 * math.log(2 * math.pi)), _odd(b, z, _LGAMMA))
    value = b.binary(
        "sub", value, b.where(_less(b, y, _SHIFT), b.emit("log", factor), _number(b, 0))
    )
    sine = b.emit("abs", b.emit("sin", _angle(b, x)))
    reflection = b.binary("sub", b.emit("log", _over(b, math.pi, sine)), value)
    infinite = _equal(b, b.emit("abs", x), math.inf)
    return b.where(infinite, _number(b, math.inf), b.where(below, reflection, value))


@lowers(aten.digamma.default)
@_in_float64
def digamma(b: Builder, x: Value) -> Value:
    """digamma(Tensor self) -> Tensor"""
    below, y = _reflected(b, x)
    z, steps = _shifted(b, y)
    even = b.binary("div", _odd(b, z, _DIGAMMA), z)
    value = b.binary("add", b.binary("sub", b.emit("log", z), _over(b, 0.5, z)), even)
    value = b.binary("sub", value, _sum_of_inverses(b, y, steps))
    tangent = b.emit("tan", _angle(b, x))
    # At its poles below zero the function has no sign.
    pole = b.where(_equal(b, tangent, 0), _number(b, math.nan), _over(b, math.pi, tangent))
    return b.where(below, b.binary("sub", value, pole), value)


@lowers(aten.polygamma.default)
@_in_float64
def polygamma(b: Builder, x: Value, n: int) -> Value:
    """polygamma(int n, Tensor self) -> Tensor"""
    require(n <= 1, "only the first two polygamma functions have a series here")
    if n == 0:
        return digamma(b, x)
    below, y = _reflected(b, x)
    z, steps = _shifted(b, y)
    inverse = _over(b, 1, z)
    value = b.binary("add", inverse, _times(b, b.binary("mul", inverse, inverse), 0.5))
    value = b.binary("add", value, b.binary("div", _odd(b, z, _TRIGAMMA), b.binary("mul", z, z)))
    squares = [b.binary("mul", step, step) for step in steps]
    value = b.binary("add", value, _sum_of_inverses(b, y, squares))
    part = _over(b, math.pi, b.emit("sin", _angle(b, x)))
    return b.where(below, b.binary("sub", b.binary("mul", part, part), value), value)


def _reflected(b: Builder, x: Value) -> tuple[Value, Value]:
    """Where x is below zero, and `1 - x` there; x elsewhere."""
    below = _less(b, x, 0)
    return below, b.where(below, b.binary("sub", _number(b, 1), x), x)


def _shifted(b: Builder, x: Value) -> tuple[Value, list[Value]]:
    """Numbers from 8 on, and those that were passed on the way: `x, x + 1 ... x + 7`."""
    steps = [x, *(_plus(b, x, k) for k in range(1, _SHIFT))]
    return b.where(_less(b, x, _SHIFT), _plus(b, x, _SHIFT), x), steps


def _sum_of_inverses(b: Builder, x: Value, steps: Sequence[Value]) -> Value:
    total = functools.reduce(lambda t, s: b.binary("add", t, _over(b, 1, s)), steps, _number(b, 0))
    return b.where(_less(b, x, _SHIFT), total, _number(b, 0))


def _odd(b: Builder, z: Value, coefficients: Sequence[float]) -> Value:
    """`c0 / z + c1 / z**3 + ...`"""
    inverse = _over(b, 1, z)
    return b.binary("mul", inverse, _polynomial(b, b.binary("mul", inverse, inverse), coefficients))


def _angle(b: Builder, x: Value) -> Value:
    """`pi * x` less half turns where x is below zero, exactly zero at whole numbers."""
    return _times(b, b.binary("sub", x, b.emit("ceil", x)), math.pi)


# Modified Bessel functions (Abramowitz and Stegun, 9.8.1 to 9.8.4, to 2e-7).

_I0 = (
    (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813),
    (
        *(0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281),
        *(-0.02057706, 0.02635537, -0.01647633, 0.00392377),
    ),
)
_I1 = (
    (0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411),
    (
        *(0.39894228, -0.03988024, -0.00362018, 0.00163801, -0.01031555),
        *(0.02282967, -0.02895312, 0.01787654, -0.00420059),
    ),
)


def _bessel(order: int, scaled: bool) -> _Function:
    near, far = _I1 if order else _I0

    @_in_float64
    def function(b: Builder, x: Value) -> Value:
        require(b.result.dtype != torch.float64, "its series has the digits of float32")
        size = b.emit("abs", x)
        ratio = _times(b, size, 1 / 3.75)
        small = _polynomial(b, b.binary("mul", ratio, ratio), near)
        small = b.binary("mul", small, size) if order else small
        large = b.binary("div", _polynomial(b, _over(b, 1, ratio), far), b.emit("sqrt", size))
        growth = b.emit("exp", size)
        small, large = (
            (b.binary("div", small, growth), large)
            if scaled
            else (small, b.binary("mul", large, growth))
        )
        value = b.where(_less(b, ratio, 1), small, large)
        return b.where(_less(b, x, 0), b.emit("neg", value), value) if order else value

    return function


_BESSEL: dict[tuple[int, bool], tuple[OpOverload, ...]] = {
    (0, False): (aten.i0.default, aten.special_modified_bessel_i0.default),
    (0, True): (aten.special_i0e.default,),
    (1, False): (aten.special_i1.default, aten.special_modified_bessel_i1.default),
    (1, True): (aten.special_i1e.default,),
}
for (_order, _scaled), _overloads in _BESSEL.items():
    lowers(*_overloads)(_bessel(_order, _scaled))
