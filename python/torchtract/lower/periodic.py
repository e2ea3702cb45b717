"""Sizes of one symbol with divisions by numbers, decided by looking at one period of them.

`8 * ((S + 7) // 8)` grows by 8 whenever S does, so what holds of its difference to another such
size at 8 sizes in a row holds at all that follow.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np
import sympy
from torch.utils._sympy.functions import FloorDiv, Max, Min, Mod, PythonMod

__all__ = ["is_periodic_nonnegative", "remainder_where_false"]

_LONGEST = 1 << 16
_RELATIONS = {
    sympy.Eq: operator.eq,
    sympy.Ne: operator.ne,
    sympy.Lt: operator.lt,
    sympy.Le: operator.le,
    sympy.Gt: operator.gt,
    sympy.Ge: operator.ge,
}


@functools.lru_cache(maxsize=4096)
def is_periodic_nonnegative(size: sympy.Expr) -> bool:
    """Whether a size of one symbol is seen to be at least 0 at all sizes of 0 and more."""
    if len(size.free_symbols) != 1 or not size.has(FloorDiv, Mod, PythonMod):
        return False
    found = _period(size)
    if found is None or found[0] > _LONGEST or found[1] < 0:
        return False
    return bool((_values(size, np.arange(found[0])) >= 0).all())


def remainder_where_false(condition: sympy.Rel, base: sympy.Expr, divisor: int) -> int | None:
    """What `base % divisor` is at all sizes of a symbol at which a condition on it fails.

    None where there are several, or where the condition never fails.
    """
    difference = condition.lhs - condition.rhs
    repeats, base_repeats = _period(difference), _period(base)
    if repeats is None or base_repeats is None or repeats[1] != 0:
        return None
    length = math.lcm(repeats[0], divisor * base_repeats[0])
    if length > _LONGEST:
        return None
    sizes = np.arange(length)
    fails = ~_RELATIONS[type(condition)](_values(difference, sizes), 0)
    rests = np.unique(_values(base, sizes)[fails] % divisor)
    return int(rests[0]) if len(rests) == 1 else None


def _period(size: sympy.Expr) -> tuple[int, int] | None:
    """After how many sizes a size repeats, and by how much it has grown then."""
    parts = [_period(part) for part in size.args]
    if size.is_Symbol:
        return 1, 1
    if isinstance(size, sympy.Integer):
        return 1, 0
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    match size:
        case sympy.Add():
            period = math.lcm(*(p for p, _ in known))
            return period, sum(growth * (period // p) for p, growth in known)
        case sympy.Mul(args=(sympy.Integer() as factor, _)):
            return known[1][0], int(factor) * known[1][1]
        case Min() | Max():
            period = math.lcm(*(p for p, _ in known))
            growths = {growth * (period // p) for p, growth in known}
            return (period, growths.pop()) if len(growths) == 1 else None
        case FloorDiv() | Mod() | PythonMod() if size.args[1].is_Integer and size.args[1] > 0:
            (period, growth), divisor = known[0], int(size.args[1])
            times = divisor // math.gcd(growth, divisor)
            grown = growth * times // divisor if isinstance(size, FloorDiv) else 0
            return period * times, grown
    return None


def _values(size: sympy.Expr, at: np.ndarray) -> Any:
    """The size where the symbol has these sizes."""
    if size.is_Symbol:
        return at
    if isinstance(size, sympy.Integer):
        return int(size)
    parts = [_values(part, at) for part in size.args]
    match size:
        case sympy.Add():
            return functools.reduce(operator.add, parts)
        case sympy.Mul():
            return functools.reduce(operator.mul, parts)
        case Min():
            return functools.reduce(np.minimum, parts)
        case Max():
            return functools.reduce(np.maximum, parts)
        case FloorDiv():
            return parts[0] // parts[1]
    return parts[0] % parts[1]
