"""Formulas of special functions in float64, whose results are rounded once.

tract has few functions beyond the elementary ones. The others are polynomials on parts of the
number line, fitted at export to what mpmath computes in as many digits as it takes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath  # sympy's, and so torch's
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.value import Value

__all__ = [
    "Fit",
    "equal",
    "fit",
    "in_float64",
    "less",
    "minus_square",
    "number",
    "over",
    "plus",
    "polynomial",
    "times",
]

#: What a formula in mpmath's numbers gives.
_Formula = Callable[[Any], Any]


def in_float64(function: Callable[..., Value]) -> Callable[..., Value]:
    """The function on float64 tensors, its result rounded once."""

    @functools.wraps(function)
    def doubled(b: Builder, **arguments: Any) -> Value:
        wide = {
            name: b.cast(v, torch.float64) if isinstance(v, Value) else v
            for name, v in arguments.items()
        }
        return b.cast(function(b, **wide), b.result.dtype)

    return doubled


def number(b: Builder, value: float) -> Value:
    """A float64 scalar."""
    return b.scalar(value, torch.float64)


def plus(b: Builder, x: Value, value: float) -> Value:
    """`x + value`."""
    return b.binary("add", x, number(b, value))


def times(b: Builder, x: Value, value: float) -> Value:
    """`x * value`."""
    return b.binary("mul", x, number(b, value))


def over(b: Builder, value: float, x: Value) -> Value:
    """`value / x`."""
    return b.binary("div", number(b, value), x)


def less(b: Builder, x: Value, value: float) -> Value:
    """`x < value`."""
    return b.binary("lt", x, number(b, value), torch.bool)


def equal(b: Builder, x: Value, value: float) -> Value:
    """`x == value`."""
    return b.binary("eq", x, number(b, value), torch.bool)


def minus_square(b: Builder, x: Value) -> Value:
    """`-x * x`."""
    return b.binary("mul", x, b.emit("neg", x))


def polynomial(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, the constant first, by Horner's rule."""
    *rest, last = coefficients
    value = number(b, last)
    for coefficient in reversed(rest):
        value = plus(b, b.binary("mul", value, x), coefficient)
    return value


@dataclass(frozen=True)
class Fit:
    """A function on an interval, as a polynomial of the distance from its centre."""

    low: float
    high: float
    coefficients: tuple[float, ...]

    def at(self, b: Builder, x: Value) -> Value:
        """The function where x is in the interval, and some number elsewhere."""
        half = (self.high - self.low) / 2
        inside = b.binary("max", b.binary("min", x, number(b, self.high)), number(b, self.low))
        distance = times(b, plus(b, inside, -self.low - half), 1 / half)
        return polynomial(b, distance, self.coefficients)


@functools.cache
def fit(formula: _Formula, low: float, high: float, degree: int) -> Fit:
    """The polynomial through a formula's values at Chebyshev's points of the interval.

    Its error there is close to the least that this degree allows.
    """
    with mpmath.workdps(60):
        centre, half = mpmath.mpf(low + high) / 2, mpmath.mpf(high - low) / 2
        count = degree + 1
        angles = [mpmath.pi * (2 * k + 1) / (2 * count) for k in range(count)]
        values = [formula(centre + half * mpmath.cos(angle)) for angle in angles]
        sums = [
            2 * mpmath.fsum(v * mpmath.cos(j * a) for v, a in zip(values, angles, strict=True))
            for j in range(count)
        ]
        weights = [sums[0] / (2 * count), *(s / count for s in sums[1:])]
        return Fit(low, high, tuple(float(c) for c in _powers(weights)))


def _powers(weights: Sequence[Any]) -> list[Any]:
    """Coefficients of the powers in a sum of Chebyshev's polynomials with these weights."""
    total = [mpmath.mpf(0)] * len(weights)
    before, here = [0] * len(weights), [1] + [0] * (len(weights) - 1)
    for index, weight in enumerate(weights):
        total = [t + weight * c for t, c in zip(total, here, strict=True)]
        factor = 2 if index else 1
        following = [factor * c for c in [0, *here[:-1]]]
        before, here = here, [c - p for c, p in zip(following, before, strict=True)]
    return total
