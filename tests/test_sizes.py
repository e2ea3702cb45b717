"""Assertions as tract writes them, and example inputs at other sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchtract.errors import CaptureError
from torchtract.sizes import Assertion, allowed, assertions_of, bounds_of, evaluate, resize


@pytest.mark.parametrize(
    ("text", "sizes", "holds"),
    [
        ("S >= 1", {"S": 1}, True),
        ("S >= 1", {"S": 0}, False),
        ("S <= 32000", {"S": 32001}, False),
        ("S + P < 2048", {"S": 1024, "P": 1023}, True),
        ("S + P < 2048", {"S": 1024, "P": 1024}, False),
        ("S + P < 2048", {"S": 4096}, True),  # says nothing about S alone
        ("-3+(S+3)/4 >= 1", {"S": 12}, False),
        ("-3+(S+3)/4 >= 1", {"S": 13}, True),
        ("S/8*8 == S", {"S": 16}, True),
        ("S/8*8 == S", {"S": 17}, False),
    ],
)
def test_assertions_hold_or_not(text: str, sizes: dict[str, int], holds: bool) -> None:
    assert Assertion.parse(text).holds(sizes) is holds


def test_scenarios_are_told_from_assertions() -> None:
    lines = ["tract_assert tg: S==1", "tract_assert B >= 1", "tract_symbol Q"]
    assert [(a.scenario, a.text) for a in assertions_of(lines)] == [
        ("tg", "S==1"),
        (None, "B >= 1"),
    ]


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ({"P": 7, "S": 1}, True),
        ({"P": 0, "S": 9}, True),
        ({"P": 7, "S": 9}, False),
        ({"P": 99, "S": 1}, False),
    ],
)
def test_a_model_with_scenarios_runs_in_one_of_them(sizes: dict[str, int], runs: bool) -> None:
    lines = ["S + P < 100", "tg: S == 1", "pp: P == 0"]
    assert allowed(sizes, assertions_of(f"tract_assert {line}" for line in lines)) is runs


#: Python reads these, and tract doesn't; or it would take the last without end.
TRACT_CANNOT = ["1 <= B <= 8", "few: B % 8 == 0", "B % B == 0", "B == B + 8"]


@pytest.mark.parametrize(
    "line", ["B", "B >=", "B = 1", "B != 2", "len(B) > 1", "B > 1.5", *TRACT_CANNOT]
)
def test_what_is_no_assertion_is_refused(line: str) -> None:
    with pytest.raises(CaptureError):
        Assertion.parse(line).holds({"B": 1})


def test_bounds_are_those_of_comparisons_with_numbers() -> None:
    lines = ["S <= 64", "S < 60", "S >= 2", "B > 0", "T == 3", "S + T <= 9", "tg: B == 1", "P < B"]

    bounds = bounds_of(assertions_of(f"tract_assert {line}" for line in lines))

    assert bounds == {"S": (2, 59), "B": (1, None), "T": (3, 3), "S+T": (0, 9)}


def test_dimensions_divide_rounding_down() -> None:
    assert [evaluate("-3+(S+3)/4", {"S": s}) for s in (9, 12, 13)] == [0, 0, 1]
    assert evaluate("2*B", {"B": 3}) == 6


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 12))
def test_resized_inputs_hold_the_examples_own_values(old: int, rows: int, columns: int) -> None:
    example = torch.arange(old * 3).reshape(old, 3)
    resized = resize(example, {0: rows, 1: columns})
    assert resized.shape == (rows, columns)
    for i, j in [(i, j) for i in range(rows) for j in range(columns)]:
        assert resized[i, j] == example[i % old, j % 3]


def test_an_empty_example_cannot_grow() -> None:
    with pytest.raises(CaptureError, match="no values to repeat"):
        resize(torch.zeros(0, 3), {0: 2})


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("S % 8 == 0", "8 * (S / 8) == S"),
        ("S % 8 < 1", "S - 8 * (S / 8) < 1"),
        ("S + P % 4 <= 2 * S", "S + (P - 4 * (P / 4)) <= 2 * S"),
        ("8 * (S / 8) == S", "8 * (S / 8) == S"),
    ],
)
def test_remainders_are_said_with_divisions(line: str, text: str) -> None:
    assertion = Assertion.parse(line)
    assert assertion.text == text
    assert assertion.is_of_multiples
    assert assertion.holds({"S": 16, "P": 3})
    assert not assertion.holds({"S": 1, "P": 3})


@pytest.mark.parametrize("line", ["S <= 8", "T == S / 8", "S / 8 <= 4", "few: S / 8 * 8 == S"])
def test_what_says_nothing_of_multiples(line: str) -> None:
    assert not Assertion.parse(line).is_of_multiples
