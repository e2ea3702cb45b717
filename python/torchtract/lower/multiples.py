"""Sizes that must be multiples of a number, such as S in `x.view(B, S // 2, 2)`.

PyTorch raises where S is odd. tract has to see beforehand that nothing is lost.

A model may also say so itself: after `if S % 8: raise ...` a convolution of stride 8, whose output
is of `(S - 1) // 8 + 1` elements, goes with what has `S // 8`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import sympy
from torch.utils._sympy.functions import FloorDiv, Mod, PythonMod

from torchtract.lower.periodic import remainder_where_false
from torchtract.lower.simplify import simplest
from torchtract.lower.value import Size, size_of, volume

__all__ = ["as_multiples", "multiples_beyond", "multiples_of"]


def multiples_of(
    conditions: Iterable[sympy.Basic], symbols: Collection[sympy.Symbol]
) -> dict[sympy.Expr, sympy.Expr]:
    """How to say symbols that are multiples where conditions hold: S as `8 * (S // 8)`.

    `S % 8 == 0` and `2 * S == 16 * (S // 8)` say so; `S % 8 == 1` and `S // 8 == 4` don't.

    Args:
        conditions: over torch's symbols.
        symbols: those of the user's.
    """
    found: dict[sympy.Symbol, int] = {}
    for condition in conditions:
        if isinstance(condition, sympy.Eq):
            known = {s: n for s, n in _divided(condition).items() if s in symbols}
            left, right = (side.xreplace(_in_divisions(known)) for side in condition.args)
            if known and _same(left, right) and not _same(*condition.args):
                for symbol, divisor in known.items():
                    found[symbol] = math.lcm(divisor, found.get(symbol, 1))
    return _in_divisions(found)


def multiples_beyond(condition: sympy.Basic) -> dict[sympy.Expr, sympy.Expr]:
    """How to say a size that always leaves the same remainder where a condition does not hold.

    Where `S < 8 * ((S + 7) // 8)` does not, S is `8 * (S // 8)`.
    """
    if not isinstance(condition, sympy.Rel) or len(condition.free_symbols) != 1:
        return {}
    divisions = sorted(condition.atoms(FloorDiv, Mod, PythonMod), key=str)
    bases = [*condition.free_symbols, *(d for d in divisions if isinstance(d, FloorDiv))]
    divisors = sorted({int(d.args[1]) for d in divisions if d.args[1].is_Integer} - {1})
    for base in bases:
        for divisor in reversed(divisors):
            rest = remainder_where_false(condition, base, divisor)
            if rest is not None:
                return {base: divisor * FloorDiv(base, sympy.Integer(divisor)) + rest}
    return {}


def _divided(condition: sympy.Basic) -> dict[sympy.Symbol, int]:
    """By what a condition divides symbols."""
    found: dict[sympy.Symbol, int] = {}
    for part in condition.atoms(FloorDiv, Mod, PythonMod):
        symbol, divisor = part.args
        if symbol.is_Symbol and divisor.is_Integer and divisor > 1:
            found[symbol] = math.lcm(int(divisor), found.get(symbol, 1))
    return found


def _in_divisions(divisors: Mapping[sympy.Symbol, int]) -> dict[sympy.Expr, sympy.Expr]:
    return {s: n * FloorDiv(s, sympy.Integer(n)) for s, n in divisors.items()}


def as_multiples(old: Sequence[Size], new: Sequence[Size]) -> list[Size] | None:
    """The old shape, its sizes said as multiples (`2 * (S // 2)`) where the new one needs that.

    None where the two shapes are not seen to have the same number of elements even so.
    """
    total = sympy.sympify(volume(new))
    if _same(volume(old), total):
        return list(old)
    divisors = _divisors(total)
    choices = [[size, *_multiples(size, divisors)] for size in old]
    return next((list(c) for c in itertools.product(*choices) if _same(volume(c), total)), None)


def _divisors(size: sympy.Expr) -> set[int]:
    return {int(d.args[1]) for d in size.atoms(FloorDiv) if d.args[1].is_Integer}


def _multiples(size: Size, divisors: set[int]) -> list[Size]:
    """A size rounded down to a multiple of each divisor. Of `S // 2` an eighth is a quarter."""
    if isinstance(size, int):
        return []
    own = _divisors(size) | {1}
    factors = sorted({d // o for d in divisors for o in own if d % o == 0} - {1})
    return [size_of(simplest(f * FloorDiv(size, sympy.Integer(f)))) for f in factors]


def _same(a: Size, b: Size) -> bool:
    return bool(simplest(sympy.expand(sympy.sympify(a) - sympy.sympify(b))) == 0)
