"""Sizes in one form each, so that equal sizes are seen to be equal.

Torch's tracer says `Min(S, 2*(S//2))` of `x[:, : S // 2 * 2]`, which is `2*(S//2)` at every
size; and `S + -S % 4` where a sum of whole divisions is easier to compare.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import sympy
from torch.utils._sympy.functions import FloorDiv, Max, Min, Mod, PythonMod

from torchtract.lower.periodic import is_periodic_nonnegative

__all__ = [
    "Bounds",
    "as_divisions",
    "bounds_over",
    "is_nonnegative",
    "least",
    "simplest",
    "within",
]

#: The least and the greatest size of symbols and of sums of some, None where there is none.
Bounds = Mapping[sympy.Expr, "tuple[int, int | None]"]

_ROUNDED = (FloorDiv, Mod, PythonMod, Min, Max)


@functools.lru_cache(maxsize=4096)
def simplest(size: sympy.Expr) -> sympy.Expr:
    """An expression with the same value for all sizes of 0 and more.

    Remainders become divisions, divisions lose what they divide evenly, and minima and maxima
    lose what can't be their value.
    """
    size = as_divisions(size)
    if not size.has(*_ROUNDED):
        return size
    parts = [simplest(part) for part in size.args]
    match size:
        case FloorDiv() if _is_divisor(parts[1]):
            return _divided(parts[0], int(parts[1]))
        case Mod() | PythonMod() if _is_divisor(parts[1]):
            return sympy.expand(parts[0] - parts[1] * _divided(parts[0], int(parts[1])))
        case FloorDiv():
            return _quotient(*parts)
        case Min() | Max():
            return _extreme(size.func, parts)
        case sympy.Add() | sympy.Mul() | sympy.Pow():
            return sympy.expand(size.func(*parts))
    return size.func(*parts)


def as_divisions(size: sympy.Expr) -> sympy.Expr:
    """The same size with torch's divisions where Python's `//` and `%` made sympy's roundings."""
    if not size.has(sympy.floor, sympy.ceiling, sympy.Mod):
        return size
    size = size.replace(sympy.Mod, lambda x, y: x - y * sympy.floor(x / y))
    size = size.replace(sympy.ceiling, lambda x: -sympy.floor(-x))
    return size.replace(sympy.floor, _floor)


def _floor(quotient: sympy.Expr) -> sympy.Expr:
    base, divisor = sympy.fraction(sympy.together(quotient))
    if base.is_integer and _is_divisor(divisor):
        return FloorDiv(base, divisor)
    return sympy.floor(quotient)


def _is_divisor(size: sympy.Expr) -> bool:
    return bool(isinstance(size, sympy.Integer) and size > 0)


def _divided(base: sympy.Expr, divisor: int) -> sympy.Expr:
    """`base // divisor`, where whole multiples of the divisor are taken out of the division."""
    whole, rest = sympy.Integer(0), sympy.Integer(0)
    for term in sympy.Add.make_args(sympy.expand(base)):
        factor, size = term.as_coeff_Mul()
        if factor % divisor == 0:
            whole += factor // divisor * size
        else:
            rest += term
    if rest == 0:
        return whole
    if rest.could_extract_minus_sign():  # -S // 4 is -((S + 3) // 4)
        return whole - _divided(divisor - 1 - rest, divisor)
    return whole + FloorDiv(rest, sympy.Integer(divisor))


def _quotient(base: sympy.Expr, divisor: sympy.Expr) -> sympy.Expr:
    """`base // divisor`, without a division where the divisor is a factor: `S**2 // S` is `S`.

    At a divisor of 0 there is no value to keep.
    """
    quotient = sympy.cancel(base / divisor)
    if sympy.fraction(quotient)[1] == 1:
        return sympy.expand(quotient)
    return FloorDiv(base, divisor)


def _extreme(function: type[sympy.Expr], parts: list[sympy.Expr]) -> sympy.Expr:
    """The least or greatest, without what is never less or greater than another."""
    sign = 1 if function is Min else -1
    kept: list[sympy.Expr] = []
    for part in parts:
        if any(is_nonnegative(sign * (part - other)) for other in kept):
            continue
        kept = [other for other in kept if not is_nonnegative(sign * (other - part))]
        kept.append(part)
    # Torch takes sizes for above zero, where this holds at 0 too.
    return kept[0] if len(kept) == 1 else function(*kept, evaluate=False)


def is_nonnegative(size: sympy.Expr) -> bool:
    """Whether an expression is shown to be at least 0 at all sizes of 0 and more."""
    size = sympy.expand(size)
    return _bounded_by_0(size) or is_periodic_nonnegative(size)


def _bounded_by_0(size: sympy.Expr) -> bool:
    terms = [term.as_coeff_Mul() for term in sympy.Add.make_args(size)]
    for factor, part in terms:
        if isinstance(part, _ROUNDED):
            rest = size - factor * part
            bounds = _bounds(part, above=factor < 0)
            every = isinstance(part, Min if factor > 0 else Max)
            shown = (_bounded_by_0(sympy.expand(rest + factor * bound)) for bound in bounds)
            return all(shown) if every else any(shown)
    return all(
        factor >= 0
        and all(p.is_Symbol or p.is_Number or p.is_Pow for p in part.as_ordered_factors())
        for factor, part in terms
    )


def _bounds(part: sympy.Expr, above: bool) -> list[sympy.Expr]:
    """What a rounded expression is at most, or at least; of several, see the caller."""
    if isinstance(part, (Min, Max)):
        return list(part.args)
    base, divisor = part.args
    if not _is_divisor(divisor):
        return []
    if isinstance(part, FloorDiv):
        return [base / divisor if above else (base - divisor + 1) / divisor]
    return [divisor - 1 if above else sympy.Integer(0)]


def within(size: sympy.Expr, bounds: Bounds) -> sympy.Expr:
    """An expression with the same value where symbols are within bounds: `Min(S, 64)` may be S."""
    size = size.xreplace(
        {s: sympy.Integer(low) for s, (low, high) in bounds.items() if low == high}
    )
    if not size.has(Min, Max):
        return size

    def narrow(extreme: sympy.Expr) -> sympy.Expr:
        sign = 1 if isinstance(extreme, Min) else -1
        for part in extreme.args:
            others = (other for other in extreme.args if other != part)
            if all(least(sign * (other - part), bounds) >= 0 for other in others):
                return part
        return extreme

    narrowed: sympy.Expr = size.replace(lambda e: isinstance(e, (Min, Max)), narrow)
    return narrowed


def least(size: sympy.Expr, bounds: Bounds) -> sympy.Expr:
    """What a sum of multiples of symbols is at least; of others nothing is known (`-oo`)."""
    found = [_least(size, bounds)]
    for several, (low, high) in bounds.items():
        if not several.is_Symbol:
            # What is added back is at least 0.
            found.append(_least(size - several + low, bounds))
            found += [] if high is None else [_least(size - high + several, bounds)]
    return max(found)


def _least(size: sympy.Expr, bounds: Bounds) -> sympy.Expr:
    total = sympy.Integer(0)
    for term in sympy.Add.make_args(sympy.expand(size)):
        factor, symbol = term.as_coeff_Mul()
        low, high = (1, 1) if symbol == 1 else bounds.get(symbol, (0, None))
        if not (symbol == 1 or symbol.is_Symbol) or (factor < 0 and high is None):
            return -sympy.oo
        total += factor * (low if factor > 0 else high)
    return total


def bounds_over(
    bounds: Mapping[str, tuple[int, int | None]], symbols: Mapping[str, sympy.Symbol]
) -> Bounds:
    """Bounds of symbols and sums that are given by their names (`S+P`)."""
    parts = {text: text.split("+") for text in bounds}
    return {
        sympy.Add(*(symbols[name] for name in names)): bounds[text]
        for text, names in parts.items()
        if all(name in symbols for name in names)
    }
