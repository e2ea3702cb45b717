"""Roundings of sizes as tract can say them: division that rounds toward zero, and no other.

PyTorch's sizes round down (`S // 2`), and Python's functions round quotients in every way
(`math.ceil(S / 2)`, `round(S / 3)`). All of them are written here with divisions whose
numerators are at no size negative, where rounding down and toward zero are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
from torch.utils._sympy.functions import (
    CeilToInt,
    FloatTrueDiv,
    FloorDiv,
    FloorToInt,
    IntTrueDiv,
    Max,
    Min,
    Mod,
    PythonMod,
    RoundToInt,
    ToFloat,
    TruncToInt,
)

from torchtract.lower.checks import Refusal

__all__ = ["rounded_toward_zero"]

# Up to these, floating-point arithmetic on sizes is exact for all sizes below 2**31.
_LARGEST_FACTOR = 2**20
_LARGEST_DIVISOR = 2**20


def rounded_toward_zero(size: sympy.Expr) -> sympy.Expr:
    """The same size, in which each `FloorDiv` has a numerator that is never negative.

    Raises:
        Refusal: it divides by a symbol, or rounds a floating-point number that is not exact.
    """
    if not size.args:
        return size
    if type(size) in _OF_QUOTIENTS:
        return _OF_QUOTIENTS[type(size)](*_quotient(size, size.args[0]))
    parts = [rounded_toward_zero(part) for part in size.args]
    if isinstance(size, FloorDiv):
        return _floor(parts[0], _fixed(size, parts[1]))
    if isinstance(size, (Mod, PythonMod)):
        divisor = _fixed(size, parts[1])
        return parts[0] - _floor(parts[0], divisor) * divisor
    if isinstance(size, (Max, Min)):  # torch's own simplification takes sizes for above zero
        return size.func(*parts, evaluate=False)
    size = size.func(*parts) if parts != list(size.args) else size
    return _without_own_half(size) if isinstance(size, sympy.Add) else size


def _without_own_half(size: sympy.Expr) -> sympy.Expr:
    """`S - S / 2` as `(S + 1) / 2`: tract 0.23.9 takes the first for `S / 2`."""
    for term in size.args:
        factor, half = term.as_coeff_Mul()
        if isinstance(half, FloorDiv) and half.args[1] == 2:
            base = half.args[0]
            other_half = FloorDiv(base + 1, sympy.Integer(2), evaluate=False)
            shorter = size - term - factor * (other_half - base)
            if len(sympy.Add.make_args(shorter)) < len(size.args):
                return _without_own_half(shorter) if shorter.is_Add else shorter
    return size


def _fixed(size: sympy.Expr, divisor: sympy.Expr) -> int:
    if not (isinstance(divisor, sympy.Integer) and divisor > 0):
        raise Refusal(f"the size {size} divides by {divisor}, and tract divides by fixed numbers")
    return int(divisor)


def _floor(base: sympy.Expr, divisor: int) -> sympy.Expr:
    number, rest = base.as_coeff_Add()
    if _is_natural(rest):
        shift = max(0, -(int(number) // divisor))
        return FloorDiv(base + shift * divisor, divisor, evaluate=False) - shift
    if _is_natural(-rest):
        return -_floor(-base + divisor - 1, divisor)
    below = FloorDiv(_at_least_zero(-base) + divisor - 1, divisor, evaluate=False)
    return FloorDiv(_at_least_zero(base), divisor, evaluate=False) - below


def _ceil(base: sympy.Expr, divisor: int) -> sympy.Expr:
    return _floor(base + divisor - 1, divisor)


def _trunc(base: sympy.Expr, divisor: int) -> sympy.Expr:
    if _is_natural(base):
        return _floor(base, divisor)
    below = FloorDiv(_at_least_zero(-base), divisor, evaluate=False)
    return FloorDiv(_at_least_zero(base), divisor, evaluate=False) - below


def _round(base: sympy.Expr, divisor: int) -> sympy.Expr:
    """To the nearest, and halves to the even one, as Python's `round`."""
    nearest = _floor(2 * base + divisor, 2 * divisor)
    if divisor % 2:
        return nearest
    # One too many where the rest is a half and the result odd: at one rest of 2 * divisor.
    rest = base - divisor // 2
    return nearest - (_floor(rest, 2 * divisor) - _floor(rest - 1, 2 * divisor))


_OF_QUOTIENTS: dict[type, Callable[[sympy.Expr, int], sympy.Expr]] = {
    FloorToInt: _floor,
    CeilToInt: _ceil,
    TruncToInt: _trunc,
    RoundToInt: _round,
}


def _at_least_zero(size: sympy.Expr) -> sympy.Expr:
    return Max(size, sympy.Integer(0), evaluate=False)


def _is_natural(size: sympy.Expr) -> bool:
    lowest = _lowest(size)
    return lowest is not None and lowest >= 0


def _lowest(size: sympy.Expr) -> int | None:
    """A number that the size is not below, for symbols of 0 or more, if one is easily found."""
    factor, rest = size.as_coeff_Mul()
    if isinstance(size, sympy.Integer):
        return int(size)
    if isinstance(size, sympy.Symbol) or type(size) in (Mod, PythonMod):
        return 0
    if factor != 1:
        lowest = _lowest(rest) if isinstance(factor, sympy.Integer) and factor > 0 else None
        return None if lowest is None else int(factor) * lowest
    if isinstance(size, FloorDiv):
        lowest = _lowest(size.args[0])
        return None if lowest is None else lowest // int(size.args[1])
    parts = [_lowest(part) for part in size.args]
    known = [part for part in parts if part is not None]
    if isinstance(size, Max):
        return max(known, default=None)
    if len(known) < len(parts):
        return None
    if isinstance(size, Min):
        return min(known)
    if isinstance(size, sympy.Add):
        return sum(known)
    return 0 if isinstance(size, (sympy.Mul, sympy.Pow)) and min(known) >= 0 else None


def _quotient(whole: sympy.Expr, number: sympy.Expr) -> tuple[sympy.Expr, int]:
    """A floating-point number as numerator and divisor.

    At the end it may be rounded: a quotient of whole numbers is not rounded to a whole
    number that it is not, as long as sizes are below 2**31. Before that it must be exact.
    """
    inner, by = number, sympy.Integer(1)
    if isinstance(number, (IntTrueDiv, FloatTrueDiv)):
        inner, by = number.args
    numerator, power = _exact(whole, inner)
    if not by.is_number or by == 0:
        raise _inexact(whole)
    divisor, parts = _exact(whole, by)
    if divisor < 0:
        numerator, divisor = -numerator, -divisor
    if int(divisor) * power * parts > _LARGEST_DIVISOR:
        raise _inexact(whole)
    return numerator * parts, int(divisor) * power


def _exact(whole: sympy.Expr, number: sympy.Expr) -> tuple[sympy.Expr, int]:
    """A floating-point number that is exact: numerator, and divisor, a power of two."""
    if number.is_number:
        value = sympy.Rational(float(number))
        if abs(value.p) > _LARGEST_FACTOR or value.q > _LARGEST_DIVISOR:
            raise _inexact(whole)
        return sympy.Integer(value.p), int(value.q)
    if isinstance(number, ToFloat) or number.is_integer:
        inner = number.args[0] if isinstance(number, ToFloat) else number
        return rounded_toward_zero(inner), 1
    if isinstance(number, (IntTrueDiv, FloatTrueDiv)):
        numerator, divisor = _quotient(whole, number)
        if divisor & (divisor - 1):
            raise _inexact(whole)
        return numerator, divisor
    if not isinstance(number, (sympy.Add, sympy.Mul)):
        raise _inexact(whole)
    parts = [_exact(whole, part) for part in number.args]
    if isinstance(number, sympy.Mul):
        divisor = int(sympy.prod(d for _, d in parts))
        return sympy.prod(n for n, _ in parts), divisor
    divisor = max(d for _, d in parts)
    return sum(n * (divisor // d) for n, d in parts), divisor


def _inexact(whole: sympy.Expr) -> Refusal:
    return Refusal(
        f"the size {whole} rounds a floating-point number that is not exact; "
        "compute it with whole numbers, such as x.shape[1] * 3 // 10"
    )
