"""Sizes in tract's syntax have the value that torch's expressions have, at every size."""

from __future__ import annotations

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy.functions import FloorDiv, Max, Min, PythonMod

from torchtract.lower.checks import Refusal
from torchtract.lower.dims import dim_text
from torchtract.lower.rounding import rounded_toward_zero
from torchtract.sizes import evaluate

B, S = sympy.symbols("s77 s27", integer=True, nonnegative=True)
NAMES = {B: "B", S: "S"}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (7, "7"),
        (B, "B"),
        (B * 12, "B * 12"),
        (S - 1, "S - 1"),
        (B * S, "B * S"),
        (2 * S + 3, "S * 2 + 3"),
        (FloorDiv(S - 3, 2) + 1, "(S + 1) / 2 - 1"),
        (B * (S + 1), "B * (S + 1)"),
        (S - FloorDiv(S, 2), "(S + 1) / 2"),
        (Min(S, 5), "min(5, S)"),
        (Max(0, S - 3) * 2, "max(0, S - 3) * 2"),
    ],
)
def test_sizes_read_as_people_write_them(size: sympy.Expr, text: str) -> None:
    assert dim_text(size, NAMES) == text


leaves = st.sampled_from([B, S, *map(sympy.Integer, range(5))])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(FloorDiv, inner, st.integers(1, 4)),
        st.builds(PythonMod, inner, st.integers(1, 4)),
        st.builds(Min, inner, inner),
        st.builds(Max, inner, inner),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(expressions, st.integers(0, 9), st.integers(0, 9))
def test_text_and_expression_have_one_value(size: sympy.Expr, b: int, s: int) -> None:
    expected = int(size.xreplace({B: sympy.Integer(b), S: sympy.Integer(s)}))
    assert evaluate(dim_text(size, NAMES), {"B": b, "S": s}) == expected


@settings(deadline=None)
@given(expressions, st.integers(0, 9), st.integers(0, 9))
def test_nothing_below_zero_is_divided(size: sympy.Expr, b: int, s: int) -> None:
    at = {B: sympy.Integer(b), S: sympy.Integer(s)}
    for division in rounded_toward_zero(size).atoms(FloorDiv):
        assert division.args[0].xreplace(at) >= 0


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (sympy.Symbol("u0"), "u0"),
        (FloorDiv(S, B), "divides by s77"),
        (sympy.sqrt(S), "no whole-number"),
        (S**-1, "no whole-number"),
    ],
)
def test_what_tract_cannot_say_is_refused(size: sympy.Expr, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        dim_text(size, NAMES)
