"""Bessel's functions of orders 0 and 1, and Airy's.

Near zero they are polynomials of the square. Far out they are waves or exponentials, whose
amplitudes are polynomials of the inverse.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import torch
from torch._ops import OpOverload

from torchtract.lower.builder import Builder
from torchtract.lower.float64 import (
    equal,
    fit,
    in_float64,
    less,
    number,
    over,
    polynomial,
    times,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

_Formula = Callable[[Any], Any]

#: From where on the functions are amplitudes of waves and of growth, and of decay.
_FAR, _FAR_DECAYED = 8, 2


def _of_root(function: Callable[[Any], Any]) -> _Formula:
    return lambda square: function(mpmath.sqrt(square))


def _wave(order: int, far: float, z: Any) -> tuple[Any, Any]:
    """Amplitudes P and x * Q of `sqrt(2 / (pi x)) (P cos c - Q sin c)`, z being (far / x)**2."""
    x = far / mpmath.sqrt(z)
    c = x - mpmath.pi * (2 * order + 1) / 4
    j, y = mpmath.besselj(order, x), mpmath.bessely(order, x)
    size = mpmath.sqrt(mpmath.pi * x / 2)
    return (
        size * (j * mpmath.cos(c) + y * mpmath.sin(c)),
        size * (y * mpmath.cos(c) - j * mpmath.sin(c)) * x,
    )


@functools.cache
def _even_parts(order: int) -> dict[str, _Formula]:
    """Formulas in `x**2` of what is smooth and even in each function of this order."""

    def j(x: Any) -> Any:
        return mpmath.besselj(order, x) / x**order

    def i(x: Any) -> Any:
        return mpmath.besseli(order, x) / x**order

    def y(x: Any) -> Any:
        pole = order * 2 / (mpmath.pi * x)
        log = 2 / mpmath.pi * mpmath.log(x) * mpmath.besselj(order, x)
        return (mpmath.bessely(order, x) - log + pole) / x**order

    def k(x: Any) -> Any:
        sign = 1 - 2 * order
        log = sign * mpmath.log(x) * mpmath.besseli(order, x)
        return (mpmath.besselk(order, x) + log - (order / x if order else 0)) / x**order

    return {name: _of_root(f) for name, f in {"j": j, "y": y, "i": i, "k": k}.items()}


def _near(b: Builder, order: int, name: str, x: Value, limit: float, degree: int) -> Value:
    """The even part of a function for x up to a limit, times `x**order`."""
    even = fit(_even_parts(order)[name], 0, limit**2, degree).at(b, b.binary("mul", x, x))
    return b.binary("mul", even, x) if order else even


@functools.cache
def _amplitudes(order: int, far: float) -> tuple[_Formula, _Formula]:
    return (lambda z: _wave(order, far, z)[0]), (lambda z: _wave(order, far, z)[1])


def _far_wave(b: Builder, order: int, x: Value) -> tuple[Value, Value]:
    """The functions of the first and of the second kind for x from 8 on."""
    inverse = over(b, 1, x)
    z = times(b, b.binary("mul", inverse, inverse), _FAR**2)
    p, q = (fit(f, 0, 1, 14).at(b, z) for f in _amplitudes(order, _FAR))
    q = b.binary("mul", q, inverse)
    # cos(x - pi / 4) and sin(x - pi / 4) without a difference, or of 3 pi / 4.
    sine, cosine = (times(b, b.emit(op, x), math.sqrt(0.5)) for op in ("sin", "cos"))
    less_, more = b.binary("sub", sine, cosine), b.binary("add", sine, cosine)
    c, s = (less_, b.emit("neg", more)) if order else (more, less_)
    size = b.emit("sqrt", times(b, inverse, 2 / math.pi))

    def wave(first: Value, second: Value, op: str) -> Value:
        parts = b.binary("mul", p, first), b.binary("mul", q, second)
        return b.binary("mul", size, b.binary(op, *parts))

    return wave(c, s, "sub"), wave(s, c, "add")


def _first_kind(order: int) -> Callable[[Builder, Value], Value]:
    @in_float64
    def function(b: Builder, x: Value) -> Value:
        size = b.emit("abs", x)
        near = _near(b, order, "j", size, _FAR, 20)
        value = b.where(less(b, size, _FAR), near, _far_wave(b, order, size)[0])
        return _signed(b, x, value) if order else value

    return function


def _second_kind(order: int) -> Callable[[Builder, Value], Value]:
    @in_float64
    def function(b: Builder, x: Value) -> Value:
        log = times(b, b.emit("log", x), 2 / math.pi)
        near = b.binary("mul", log, _near(b, order, "j", x, _FAR, 20))
        near = b.binary("add", near, _near(b, order, "y", x, _FAR, 20))
        near = b.binary("sub", near, over(b, 2 / math.pi, x)) if order else near
        value = b.where(less(b, x, _FAR), near, _far_wave(b, order, x)[1])
        return _with_pole(b, x, value, -math.inf)

    return function


def _signed(b: Builder, x: Value, value: Value) -> Value:
    """An odd function of x, of which there is the value at `abs(x)`."""
    return b.where(less(b, x, 0), b.emit("neg", value), value)


def _with_pole(b: Builder, x: Value, value: Value, pole: float) -> Value:
    """A function that has a pole at zero and is not there below it."""
    value = b.where(equal(b, x, 0), number(b, pole), value)
    return b.where(less(b, x, 0), number(b, math.nan), value)


# Modified functions.


@functools.cache
def _growth(order: int) -> _Formula:
    """`exp(-x) I(x) sqrt(x)` of `8 / x`."""

    def formula(z: Any) -> Any:
        x = _FAR / z
        return mpmath.besseli(order, x) * mpmath.exp(-x) * mpmath.sqrt(x)

    return formula


@functools.cache
def _decay(order: int) -> _Formula:
    """`exp(x) K(x) sqrt(x)` of `2 / x`."""

    def formula(z: Any) -> Any:
        x = _FAR_DECAYED / z
        return mpmath.besselk(order, x) * mpmath.exp(x) * mpmath.sqrt(x)

    return formula


def _modified_first_kind(order: int, scaled: bool) -> Callable[[Builder, Value], Value]:
    @in_float64
    def function(b: Builder, x: Value) -> Value:
        size = b.emit("abs", x)
        near = _near(b, order, "i", size, _FAR, 20)
        far = fit(_growth(order), 0, 1, 24).at(b, over(b, _FAR, size))
        far = b.binary("div", far, b.emit("sqrt", size))
        if scaled:
            near = b.binary("mul", near, b.emit("exp", b.emit("neg", size)))
        else:
            # PyTorch's is infinite from where on its exponential is.
            single = b.result.dtype != torch.float64
            end = math.log(torch.finfo(torch.float32 if single else torch.float64).max)
            beyond = b.binary("gt", size, number(b, end), torch.bool)
            growth = b.where(beyond, number(b, math.inf), b.emit("exp", size))
            far = b.binary("mul", far, growth)
        value = b.where(less(b, size, _FAR), near, far)
        return _signed(b, x, value) if order else value

    return function


def _modified_second_kind(order: int, scaled: bool) -> Callable[[Builder, Value], Value]:
    @in_float64
    def function(b: Builder, x: Value) -> Value:
        log = b.binary("mul", b.emit("log", x), _near(b, order, "i", x, _FAR_DECAYED, 14))
        smooth = _near(b, order, "k", x, _FAR_DECAYED, 14)
        if order:
            near = b.binary("add", b.binary("add", log, smooth), over(b, 1, x))
        else:
            near = b.binary("sub", smooth, log)
        far = fit(_decay(order), 0, 1, 24).at(b, over(b, _FAR_DECAYED, x))
        far = b.binary("div", far, b.emit("sqrt", x))
        if scaled:
            near = b.binary("mul", near, b.emit("exp", x))
        else:
            far = b.binary("mul", far, b.emit("exp", b.emit("neg", x)))
        value = b.where(b.binary("le", x, number(b, _FAR_DECAYED), torch.bool), near, far)
        return _with_pole(b, x, value, math.inf)

    return function


_FUNCTIONS: dict[tuple[OpOverload, ...], Callable[[Builder, Value], Value]] = {
    (aten.special_bessel_j0.default,): _first_kind(0),
    (aten.special_bessel_j1.default,): _first_kind(1),
    (aten.special_bessel_y0.default,): _second_kind(0),
    (aten.special_bessel_y1.default,): _second_kind(1),
    (aten.i0.default, aten.special_modified_bessel_i0.default): _modified_first_kind(0, False),
    (aten.special_i1.default, aten.special_modified_bessel_i1.default): _modified_first_kind(
        1, False
    ),
    (aten.special_i0e.default,): _modified_first_kind(0, True),
    (aten.special_i1e.default,): _modified_first_kind(1, True),
    (aten.special_modified_bessel_k0.default,): _modified_second_kind(0, False),
    (aten.special_modified_bessel_k1.default,): _modified_second_kind(1, False),
    (aten.special_scaled_modified_bessel_k0.default,): _modified_second_kind(0, True),
    (aten.special_scaled_modified_bessel_k1.default,): _modified_second_kind(1, True),
}
for _overloads, _function in _FUNCTIONS.items():
    lowers(*_overloads)(_function)


@lowers(aten.special_spherical_bessel_j0.default)
@in_float64
def spherical_bessel_j0(b: Builder, x: Value) -> Value:
    """special_spherical_bessel_j0(Tensor x) -> Tensor"""
    square = b.binary("mul", x, x)
    near = polynomial(b, square, [(-1) ** k / math.factorial(2 * k + 1) for k in range(7)])
    far = b.binary("div", b.emit("sin", x), x)
    size = b.emit("abs", x)
    far = b.where(equal(b, size, math.inf), number(b, 0), far)
    return b.where(less(b, size, 0.5), near, far)


# Airy's function: a polynomial around zero, a wave to the left and a decay to the right.

_AIRY_LEFT, _AIRY_RIGHT = -4.0, 3.0
#: Beyond it PyTorch gives zero.
_AIRY_END = 103.892


def _airy_wave(part: int) -> _Formula:
    """Amplitudes of `(P sin c - Q cos c) / (sqrt(pi) (-x)**(1 / 4))`, of `1 / zeta**2`."""

    def formula(z: Any) -> Any:
        zeta = 1 / mpmath.sqrt(z)
        x = (3 * zeta / 2) ** (mpmath.mpf(2) / 3)
        c = zeta + mpmath.pi / 4
        size = mpmath.sqrt(mpmath.pi) * x ** (mpmath.mpf(1) / 4)
        ai, bi = size * mpmath.airyai(-x), size * mpmath.airybi(-x)
        if part:
            return (bi * mpmath.sin(c) - ai * mpmath.cos(c)) * zeta
        return ai * mpmath.sin(c) + bi * mpmath.cos(c)

    return formula


def _airy_decay(z: Any) -> Any:
    """`2 sqrt(pi) x**(1 / 4) exp(zeta) Ai(x)` of `1 / zeta`."""
    zeta = 1 / z
    x = (3 * zeta / 2) ** (mpmath.mpf(2) / 3)
    size = 2 * mpmath.sqrt(mpmath.pi) * x ** (mpmath.mpf(1) / 4)
    return size * mpmath.exp(zeta) * mpmath.airyai(x)


_AIRY_SINE, _AIRY_COSINE = _airy_wave(0), _airy_wave(1)


@lowers(aten.special_airy_ai.default)
@in_float64
def airy_ai(b: Builder, x: Value) -> Value:
    """special_airy_ai(Tensor x) -> Tensor"""
    near = fit(mpmath.airyai, _AIRY_LEFT, _AIRY_RIGHT, 36).at(b, x)
    size = b.emit("abs", x)
    root = b.emit("sqrt", size)
    zeta = times(b, b.binary("mul", root, size), 2 / 3)
    inverse, quarter = over(b, 1, zeta), b.emit("sqrt", root)
    square = b.binary("mul", inverse, inverse)
    bound = (3 / (2 * abs(_AIRY_LEFT) ** 1.5)) ** 2
    p, q = (fit(f, 0, bound, 20).at(b, square) for f in (_AIRY_SINE, _AIRY_COSINE))
    q = b.binary("mul", q, inverse)
    sine, cosine = b.emit("sin", zeta), b.emit("cos", zeta)
    s, c = b.binary("add", sine, cosine), b.binary("sub", cosine, sine)
    wave = b.binary("sub", b.binary("mul", p, s), b.binary("mul", q, c))
    left = times(b, b.binary("div", wave, quarter), math.sqrt(0.5 / math.pi))
    right = fit(_airy_decay, 0, 3 / (2 * _AIRY_RIGHT**1.5), 20).at(b, inverse)
    right = b.binary("mul", right, b.emit("exp", b.emit("neg", zeta)))
    right = times(b, b.binary("div", right, quarter), 0.5 / math.sqrt(math.pi))
    beyond = b.binary("gt", x, number(b, _AIRY_END), torch.bool)
    right = b.where(beyond, number(b, 0), right)
    value = b.where(less(b, x, _AIRY_LEFT), left, near)
    value = b.where(b.binary("gt", x, number(b, _AIRY_RIGHT), torch.bool), right, value)
    return b.where(less(b, size, math.inf), value, number(b, math.nan))
