"""Sizes of one symbol that are never negative, and the remainders at which conditions fail."""

from __future__ import annotations

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._sympy.functions import FloorDiv, Max, Min, Mod

from torchtract.lower.periodic import is_periodic_nonnegative, remainder_where_false

S, T = sympy.symbols("S T", integer=True, nonnegative=True)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (4 * FloorDiv(S + 7, 8) - FloorDiv(S + 1, 2), True),
        (8 * FloorDiv(S + 7, 8) - S, True),
        (8 * FloorDiv(S, 8) - S, False),
        (FloorDiv(S, 2) - 1, False),
        (FloorDiv(S + 2, 2) - 1, True),
        (7 - Mod(S, 8), True),
        (6 - Mod(S, 8), False),
        (10**6 - FloorDiv(S, 2), False),  # far out
        (S - Min(FloorDiv(S, 2), FloorDiv(S + 3, 2)), True),
        (FloorDiv(S, 2) - Max(FloorDiv(S, 3), 1), False),
        (S * FloorDiv(S, 2), False),
        (FloorDiv(S, 2) + T, False),
    ],
    ids=str,
)
def test_never_negative(size: sympy.Expr, shown: bool) -> None:
    assert is_periodic_nonnegative(size) == shown


@given(
    *(st.integers(1, 12) for _ in range(3)),
    *(st.integers(-9, 9) for _ in range(3)),
)
def test_what_is_shown_holds(d: int, e: int, f: int, a: int, b: int, c: int) -> None:
    size = a * FloorDiv(S + e, d) + b * FloorDiv(S + c, f) + a * S
    values = [int(size.subs(S, n)) for n in range(2 * d * f)]
    if is_periodic_nonnegative(size):
        assert min(values) >= 0
    elif size.has(FloorDiv):
        assert min(values) < 0 or values[-1] < values[0] or 2 * a * d * f < 0


@given(st.integers(2, 12), st.integers(0, 20), st.integers(2, 6))
def test_remainders_are_those_of_all_failures(divisor: int, shift: int, of: int) -> None:
    condition = sympy.Lt(S + shift, divisor * FloorDiv(S + shift + divisor - 1, divisor))
    rest = remainder_where_false(condition, S, of)
    failures = {n % of for n in range(6 * divisor * of) if (n + shift) % divisor == 0}
    assert rest == (failures.pop() if len(failures) == 1 else None)
