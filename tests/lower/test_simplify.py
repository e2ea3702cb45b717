"""Sizes in one form have the values of the form that torch's tracer gives."""

from __future__ import annotations

import pytest
import sympy
from torch.utils._sympy.functions import FloorDiv, Max, Min, PythonMod

from torchtract.lower.dims import dim_text
from torchtract.lower.simplify import is_nonnegative, simplest, within

S, T = sympy.symbols("s27 s77", integer=True, positive=True)


@pytest.mark.parametrize(
    ("size", "simpler"),
    [
        (Min(S, 2 * FloorDiv(S, 2)), 2 * FloorDiv(S, 2)),
        (S + PythonMod(-S, 4), 4 * FloorDiv(S + 3, 4)),
        (FloorDiv(S + PythonMod(-S, 4), 4), FloorDiv(S + 3, 4)),
        (Max(0, S - Min(S, FloorDiv(S, 2))), S - FloorDiv(S, 2)),
        (FloorDiv(Min(S, 2 * FloorDiv(S, 2)), 2), FloorDiv(S, 2)),
        (S + T, S + T),
        (FloorDiv(S**2, S), S),
        (FloorDiv(12 * S * T + 4 * S, 4 * S), 3 * T + 1),
        (FloorDiv(S * FloorDiv(T, 2), S), FloorDiv(T, 2)),
    ],
    ids=str,
)
def test_sizes_lose_what_changes_nothing(size: sympy.Expr, simpler: sympy.Expr) -> None:
    assert simplest(size) == simpler


@pytest.mark.parametrize(
    "size",
    [
        Min(3, S),
        Max(0, S - 3),
        FloorDiv(3 * S + 5, 3),
        FloorDiv(-S, 4) + S,
        Min(S + 1, T),
        FloorDiv(3 * T, 2 * S),
        FloorDiv(T * S + 1, S),
    ],
    ids=str,
)
def test_values_stay_the_same(size: sympy.Expr) -> None:
    for s in range(1, 12):
        at = {S: s, T: 4}
        assert simplest(size).subs(at) == size.subs(at)


@pytest.mark.parametrize(
    "size",
    [
        *(S // 2, -S // 2, -(-S // 3), (S - 7) // 4, (2 * S + 3) // 4 + T),
        *(S % 5, -S % 5, (S + 1) % 2 * 3, (S % 4 + S) // 3, (S // 2 * 2) % 3, S // 2 // 3),
    ],
    ids=str,
)
def test_what_python_computes_of_sizes_becomes_divisions(size: sympy.Expr) -> None:
    assert not simplest(size).has(sympy.floor, sympy.ceiling, sympy.Mod)
    assert dim_text(size, {S: "S", T: "T"})
    for s in range(1, 25):
        at = {S: s, T: 4}
        assert simplest(size).subs(at) == size.subs(at)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (S - 2 * FloorDiv(S, 2), True),
        (S - FloorDiv(S, 3), True),
        (PythonMod(-S, 4), True),
        (S - 1, False),
        (2 * FloorDiv(S, 2) - S, False),
        (Min(S, T) - 1, False),
    ],
    ids=str,
)
def test_what_is_shown_to_be_nonnegative(size: sympy.Expr, shown: bool) -> None:
    assert is_nonnegative(size) == shown


@pytest.mark.parametrize(
    ("size", "narrower"),
    [
        (Min(S, 64), S),
        (Max(S, 2), S),
        (FloorDiv(T * Min(S, 64), S), FloorDiv(T * S, S)),
        (Min(2 * S, 120), 2 * S),
        (Min(S, 59), Min(S, 59)),
        (Max(S, 3), Max(S, 3)),
        (Min(S, T), Min(S, T)),
        (Min(64, T), Min(64, T)),
        (Min(64, S * S), Min(64, S * S)),
    ],
    ids=str,
)
def test_bounds_tell_which_of_two_is_less(size: sympy.Expr, narrower: sympy.Expr) -> None:
    assert within(size, {S: (2, 60)}) == narrower


def test_a_symbol_of_one_size_is_a_number() -> None:
    assert within(2 * S + T, {S: (3, 3)}) == T + 6


def test_bounds_of_a_sum_tell_it_too() -> None:
    bounds = {S: (1, None), T: (0, None), S + T: (0, 96)}
    mask = Max(0, Min(96, S + T) - Min(96, T))  # what mask[T : S + T] has of 96 rows
    assert within(mask, bounds) == S
    assert within(Min(95, S + T), bounds) == Min(95, S + T)
    assert within(Max(4, S + T), {S + T: (4, None)}) == S + T
