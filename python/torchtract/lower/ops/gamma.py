"""Gamma, its derivatives, its incomplete integrals and zeta: all in float64, rounded once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import mpmath
import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.float64 import (
    equal,
    fit,
    in_float64,
    less,
    number,
    over,
    plus,
    polynomial,
    times,
)
from torchtract.lower.ops.elementwise import expm1_of, log1p_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

# Stirling's series from 8 on, the recurrence below, reflection below zero.

_SHIFT = 8
_LGAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


@lowers(aten.lgamma.default)
@in_float64
def lgamma(b: Builder, x: Value) -> Value:
    """lgamma(Tensor self) -> Tensor"""
    below, y = _reflected(b, x)
    value = _log_gamma(b, y)
    sine = b.emit("abs", b.emit("sin", _angle(b, x)))
    reflection = b.binary("sub", b.emit("log", over(b, math.pi, sine)), value)
    infinite = equal(b, b.emit("abs", x), math.inf)
    return b.where(infinite, number(b, math.inf), b.where(below, reflection, value))


def _log_gamma(b: Builder, x: Value) -> Value:
    """The logarithm of gamma of numbers from 0 on."""
    z, steps = _shifted(b, x)
    factor = functools.reduce(lambda p, s: b.binary("mul", p, s), steps)
    log = b.emit("log", z)
    value = b.binary("sub", b.binary("mul", plus(b, z, -0.5), log), z)
    value = b.binary("add", plus(b, value, 0.5 * math.log(2 * math.pi)), _odd(b, z, _LGAMMA))
    passed = b.where(less(b, x, _SHIFT), b.emit("log", factor), number(b, 0))
    return b.binary("sub", value, passed)


@lowers(aten.digamma.default)
@in_float64
def digamma(b: Builder, x: Value) -> Value:
    """digamma(Tensor self) -> Tensor"""
    below, y = _reflected(b, x)
    z, steps = _shifted(b, y)
    even = b.binary("div", _odd(b, z, _DIGAMMA), z)
    value = b.binary("add", b.binary("sub", b.emit("log", z), over(b, 0.5, z)), even)
    value = b.binary("sub", value, _sum_of_inverses(b, y, steps))
    tangent = b.emit("tan", _angle(b, x))
    # At its poles below zero the function has no sign.
    pole = b.where(equal(b, tangent, 0), number(b, math.nan), over(b, math.pi, tangent))
    return b.where(below, b.binary("sub", value, pole), value)


@lowers(aten.polygamma.default)
@in_float64
def polygamma(b: Builder, x: Value, n: int) -> Value:
    """polygamma(int n, Tensor self) -> Tensor"""
    if n == 0:
        return digamma(b, x=x)
    if n > 1:
        factor = math.factorial(n) * (1 if n % 2 else -1)
        return times(b, _zeta(b, number(b, n + 1), x), factor)
    below, y = _reflected(b, x)
    z, steps = _shifted(b, y)
    inverse = over(b, 1, z)
    value = b.binary("add", inverse, times(b, b.binary("mul", inverse, inverse), 0.5))
    value = b.binary("add", value, b.binary("div", _odd(b, z, _TRIGAMMA), b.binary("mul", z, z)))
    squares = [b.binary("mul", step, step) for step in steps]
    value = b.binary("add", value, _sum_of_inverses(b, y, squares))
    part = over(b, math.pi, b.emit("sin", _angle(b, x)))
    return b.where(below, b.binary("sub", b.binary("mul", part, part), value), value)


def _reflected(b: Builder, x: Value) -> tuple[Value, Value]:
    """Where x is below zero, and `1 - x` there; x elsewhere."""
    below = less(b, x, 0)
    return below, b.where(below, b.binary("sub", number(b, 1), x), x)


def _shifted(b: Builder, x: Value) -> tuple[Value, list[Value]]:
    """Numbers from 8 on, and those that were passed on the way: `x, x + 1 ... x + 7`."""
    steps = [x, *(plus(b, x, k) for k in range(1, _SHIFT))]
    return b.where(less(b, x, _SHIFT), plus(b, x, _SHIFT), x), steps


def _sum_of_inverses(b: Builder, x: Value, steps: Sequence[Value]) -> Value:
    total = functools.reduce(lambda t, s: b.binary("add", t, over(b, 1, s)), steps, number(b, 0))
    return b.where(less(b, x, _SHIFT), total, number(b, 0))


def _odd(b: Builder, z: Value, coefficients: Sequence[float]) -> Value:
    """`c0 / z + c1 / z**3 + ...`"""
    inverse = over(b, 1, z)
    return b.binary("mul", inverse, polynomial(b, b.binary("mul", inverse, inverse), coefficients))


def _angle(b: Builder, x: Value) -> Value:
    """`pi * x` less half turns where x is below zero, exactly zero at whole numbers."""
    return times(b, b.binary("sub", x, b.emit("ceil", x)), math.pi)


# Zeta: Euler's and Maclaurin's summation from the tenth term on.

_TERMS = 10


@lowers(aten.special_zeta.default, aten.special_zeta.self_scalar, aten.special_zeta.other_scalar)
def zeta(b: Builder, x: Operand, other: Operand) -> Value:
    """special_zeta(Tensor self, Tensor other) -> Tensor"""
    s, q = b.promote(x, other, dtype=torch.float64)
    value = _zeta(b, s, q)
    whole = b.binary("eq", s, b.emit("floor", s), torch.bool)
    missing = b.binary("and", less(b, q, 0), b.emit("not", whole))
    pole = b.binary("and", b.binary("le", q, number(b, 0), torch.bool), _is_whole(b, q))
    missing = b.binary("and", missing, b.emit("not", pole))
    value = b.where(missing, number(b, math.nan), value)
    vanished = b.binary("gt", q, number(b, 1), torch.bool)
    vanished = b.binary("and", equal(b, s, math.inf), vanished)
    value = b.where(vanished, number(b, math.nan), value)
    value = b.where(equal(b, s, 1), number(b, math.inf), value)
    return b.cast(b.where(less(b, s, 1), number(b, math.nan), value), b.result.dtype)


def _is_whole(b: Builder, x: Value) -> Value:
    return b.binary("eq", x, b.emit("floor", x), torch.bool)


def _zeta(b: Builder, s: Value, q: Value) -> Value:
    """`1 / q**s + 1 / (q + 1)**s + ...` for s above 1, a whole number where q is below zero.

    The terms below zero are a part of another such sum, with another sign where s is odd.
    """
    below = less(b, q, 0)
    up = b.emit("neg", q)
    part = b.binary("sub", up, b.emit("floor", up))
    ahead = _sum_from(b, s, b.where(below, b.binary("sub", number(b, 1), part), q))
    passed = b.binary("sub", _sum_from(b, s, part), _sum_from(b, s, plus(b, up, 1)))
    half = times(b, s, 0.5)
    even = b.binary("eq", half, b.emit("floor", half), torch.bool)
    passed = b.where(even, passed, b.emit("neg", passed))
    pole = b.binary("and", b.binary("le", q, number(b, 0), torch.bool), _is_whole(b, q))
    value = b.where(below, b.binary("add", ahead, passed), ahead)
    value = b.where(equal(b, q, math.inf), number(b, math.nan), value)  # as in PyTorch
    return b.where(pole, number(b, math.inf), value)


def _sum_from(b: Builder, s: Value, q: Value) -> Value:
    """The sum for q from zero on."""
    exponent = b.emit("neg", s)
    powers = [b.binary("pow", plus(b, q, k), exponent) for k in range(_TERMS)]
    w = plus(b, q, _TERMS)
    first = b.binary("pow", w, exponent)
    rest = plus(b, b.binary("div", w, plus(b, s, -1)), 0.5)
    ratio = over(b, 1, w)
    factor = b.binary("mul", s, ratio)
    for k in range(1, 13):
        weight = float(mpmath.bernoulli(2 * k) / mpmath.factorial(2 * k))
        rest = b.binary("add", rest, times(b, factor, weight))
        for more in (2 * k - 1, 2 * k):
            factor = b.binary("mul", factor, b.binary("mul", plus(b, s, more), ratio))
    # Where the terms have become zero, what they would be multiplied by may be infinite.
    rest = b.where(equal(b, first, 0), number(b, 0), b.binary("mul", first, rest))
    return functools.reduce(lambda t, p: b.binary("add", t, p), powers, rest)


# Incomplete gamma functions: `exp(-t) t**(a - 1)` integrated up to x, or from there on.


@lowers(aten.igamma.default, aten.special_gammainc.default)
@in_float64
def igamma(b: Builder, x: Value, other: Value) -> Value:
    """igamma(Tensor self, Tensor other) -> Tensor"""
    return _at_limits(b, x, other, _incomplete(b, x, other)[0], upper=False)


@lowers(aten.igammac.default, aten.special_gammaincc.default)
@in_float64
def igammac(b: Builder, x: Value, other: Value) -> Value:
    """igammac(Tensor self, Tensor other) -> Tensor"""
    return _at_limits(b, x, other, _incomplete(b, x, other)[1], upper=True)


def _at_limits(b: Builder, a: Value, x: Value, value: Value, upper: bool) -> Value:
    """The value, or what PyTorch has where a or x is zero, infinite or negative."""
    unknown = number(b, math.nan)
    nothing, all_ = number(b, 1 if upper else 0), number(b, 0 if upper else 1)
    infinite = equal(b, x, math.inf)
    value = b.where(infinite, all_, value)
    value = b.where(equal(b, a, math.inf), b.where(infinite, unknown, nothing), value)
    value = b.where(equal(b, x, 0), nothing, value)
    above = b.binary("gt", x, number(b, 0), torch.bool)
    value = b.where(equal(b, a, 0), b.where(above, all_, unknown), value)
    return b.where(b.binary("or", less(b, a, 0), less(b, x, 0)), unknown, value)


def _incomplete(b: Builder, a: Value, x: Value) -> tuple[Value, Value]:
    """The lower and the upper part of the integral, of 1 in all."""
    lower = b.binary("lt", x, a, torch.bool)
    part = b.binary("mul", _density(b, a, x), _integral(b, a, x, lower))
    rest = b.binary("sub", number(b, 1), part)
    near, near_rest = _near_zero(b, a, x)
    small = b.binary("and", less(b, a, 1), less(b, x, 1))
    return (
        b.where(small, near, b.where(lower, part, rest)),
        b.where(small, near_rest, b.where(lower, rest, part)),
    )


def _density(b: Builder, a: Value, x: Value) -> Value:
    """`x**a exp(-x) / gamma(a)`, as `exp(-a (m - log1p(m)))` times what is left, m = x / a - 1."""
    m = b.binary("div", b.binary("sub", x, a), a)
    close = b.binary("sub", m, log1p_of(b, m))
    # From so far off on log1p has fewer digits than the difference of two logarithms.
    log = b.binary("sub", b.emit("log", x), b.emit("log", a))
    close = b.where(less(b, m, -0.5), b.binary("sub", m, log), close)
    log_a = b.emit("log", a)
    large = plus(b, times(b, log_a, 0.5), -0.5 * math.log(2 * math.pi))
    large = b.binary("sub", large, _odd(b, a, _LGAMMA))
    exact = b.binary("sub", b.binary("sub", b.binary("mul", a, log_a), a), _log_gamma(b, a))
    scale = b.where(less(b, a, _SHIFT), exact, large)
    return b.emit("exp", b.binary("sub", scale, b.binary("mul", a, close)))


@functools.cache
def _nodes(step: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Places and weights of an integral from 0 on of what decays like `exp(-u)` or faster."""
    t = torch.arange(-3.8, 4.8, step, dtype=torch.float64)
    u = torch.exp(t - torch.exp(-t))
    return u, step * u * (1 + torch.exp(-t))


def _integral(b: Builder, a: Value, x: Value, lower: Value) -> Value:
    """The rest of the integral, over `u` for which `t = x * exp(u)`, or `x * exp(-u)` below x.

    It falls from 1 at `u = 0` on, within the scale that its places are multiplied by.
    """
    places, weights = _nodes(1 / 16 if b.result.dtype == torch.float64 else 1 / 10)
    sign = b.where(lower, number(b, -1), number(b, 1))
    larger = b.binary("max", a, x)
    width = b.where(less(b, larger, 1), larger, b.emit("sqrt", larger))
    apart = b.emit("abs", b.binary("sub", x, a))
    scale = over(b, 1, b.binary("max", apart, width))
    a_, x_, sign, scale_ = (b.unsqueeze(v, [v.rank]) if v.rank else v for v in (a, x, sign, scale))
    u = b.binary("mul", b.binary("mul", scale_, b.constant(places)), sign)
    fall = b.binary("sub", b.binary("mul", x_, expm1_of(b, u)), b.binary("mul", a_, u))
    values = b.binary("mul", b.emit("exp", b.emit("neg", fall)), b.constant(weights))
    return b.binary("mul", scale, b.reduce("sum_reduce", values, [values.rank - 1]))


def _log_gamma_slope(a: Any) -> Any:
    return mpmath.loggamma(1 + a) / a


def _near_zero(b: Builder, a: Value, x: Value) -> tuple[Value, Value]:
    """Both parts for a and x below 1, where either may be small: from a power series."""
    slope = fit(_log_gamma_slope, 0, 1, 24).at(b, a)
    exponent = b.binary("mul", a, b.binary("sub", b.emit("log", x), slope))
    k = torch.arange(1, 20, dtype=torch.float64)
    weights = (-1) ** k / torch.exp(torch.lgamma(k + 1))
    a_, x_ = (b.unsqueeze(v, [v.rank]) if v.rank else v for v in (a, x))
    terms = b.binary("mul", b.binary("pow", x_, b.constant(k)), b.constant(weights))
    terms = b.binary("div", b.binary("mul", terms, a_), b.binary("add", a_, b.constant(k)))
    series = b.reduce("sum_reduce", terms, [terms.rank - 1])
    more = b.binary("mul", b.emit("exp", exponent), series)
    lower = b.binary("add", b.emit("exp", exponent), more)
    return lower, b.emit("neg", b.binary("add", expm1_of(b, exponent), more))
