"""Functions of the normal distribution, in float64, so that float32 results keep their digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mpmath
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.float64 import (
    equal,
    fit,
    in_float64,
    less,
    minus_square,
    number,
    plus,
    polynomial,
    times,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

__all__ = ["erf_of"]

aten = torch.ops.aten

# The normal distribution.

#: Half of all x from zero on are below it, for a fit of erfcx.
_MIDDLE = 3.75


def _erfcx_of_part(part: Any) -> Any:
    """`(1 + 2 x) erfcx(x)` where x is `part` of the way from -1 at zero to 1 at infinity."""
    x = _MIDDLE * (1 + part) / (1 - part)
    return (1 + 2 * x) * mpmath.exp(x * x) * mpmath.erfc(x)


def _erf_over_x(square: Any) -> Any:
    x = mpmath.sqrt(square)
    return mpmath.erf(x) / x


@lowers(aten.erfc.default, aten.special_erfc.default)
@in_float64
def erfc(b: Builder, x: Value) -> Value:
    """erfc(Tensor self) -> Tensor"""
    size = b.emit("abs", x)
    above = b.binary("mul", _erfcx(b, size), b.emit("exp", minus_square(b, size)))
    return b.where(less(b, x, 0), b.binary("sub", number(b, 2), above), above)


@lowers(aten.special_erfcx.default)
@in_float64
def erfcx(b: Builder, x: Value) -> Value:
    """special_erfcx(Tensor self) -> Tensor"""
    above = _erfcx(b, b.emit("abs", x))
    below = times(b, b.emit("exp", b.emit("neg", minus_square(b, x))), 2)
    return b.where(less(b, x, 0), b.binary("sub", below, above), above)


def erf_of(b: Builder, x: Value) -> Value:
    """The error function in float64, which tract's own doesn't take."""
    size = b.emit("abs", x)
    near = b.binary("mul", x, fit(_erf_over_x, 0, 1, 14).at(b, b.binary("mul", x, x)))
    tail = b.binary("mul", _erfcx(b, size), b.emit("exp", minus_square(b, size)))
    far = b.binary("sub", number(b, 1), tail)
    far = b.where(less(b, x, 0), b.emit("neg", far), far)
    return b.where(less(b, size, 1), near, far)


def _erfcx(b: Builder, x: Value) -> Value:
    part = b.binary("div", plus(b, x, -_MIDDLE), plus(b, x, _MIDDLE))
    part = b.where(equal(b, x, math.inf), number(b, 1), part)
    fitted = fit(_erfcx_of_part, -1, 1, 26).at(b, part)
    value = b.binary("div", fitted, plus(b, times(b, x, 2), 1))
    return b.where(b.binary("ne", x, x, torch.bool), x, value)


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
@in_float64
def erfinv(b: Builder, x: Value) -> Value:
    """erfinv(Tensor self) -> Tensor"""
    beyond = times(b, b.binary("sub", number(b, 1), b.emit("abs", x)), 0.5)
    return times(b, _normal_quantile(b, times(b, x, 0.5), beyond), math.sqrt(0.5))


@lowers(aten.special_ndtri.default)
@in_float64
def ndtri(b: Builder, x: Value) -> Value:
    """special_ndtri(Tensor self) -> Tensor"""
    beyond = b.binary("min", x, b.binary("sub", number(b, 1), x))
    return _normal_quantile(b, plus(b, x, -0.5), beyond)


def _normal_quantile(b: Builder, q: Value, beyond: Value) -> Value:
    """The normal quantile of probability `q + 1/2`, of which `beyond` are left in the tail."""
    r = b.binary("sub", number(b, 0.180625), b.binary("mul", q, q))
    centre = b.binary("mul", q, _ratio(b, r, _QUANTILE_CENTRE))
    root = b.emit("sqrt", b.emit("neg", b.emit("log", beyond)))
    tail = _ratio(b, plus(b, root, -1.6), _QUANTILE_TAIL)
    far = _ratio(b, plus(b, root, -5), _QUANTILE_FAR_TAIL)
    tail = b.where(less(b, root, 5), tail, far)
    tail = b.where(equal(b, beyond, 0), number(b, math.inf), tail)
    signed = b.where(less(b, q, 0), b.emit("neg", tail), tail)
    return b.where(less(b, b.emit("abs", q), 0.425), centre, signed)


def _ratio(b: Builder, x: Value, parts: tuple[Sequence[float], Sequence[float]]) -> Value:
    numerator, denominator = (polynomial(b, x, part) for part in parts)
    return b.binary("div", numerator, denominator)
