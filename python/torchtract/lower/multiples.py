"""Sizes that must be multiples of a number, such as S in `x.view(B, S // 2, 2)`.

PyTorch raises where S is odd. tract has to see beforehand that nothing is lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import sympy
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.simplify import simplest
from torchtract.lower.value import Size, size_of, volume

__all__ = ["as_multiples"]


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
