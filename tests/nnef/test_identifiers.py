from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import external
from torchtract.errors import FormatError
from torchtract.nnef import (
    Graph,
    Names,
    Operation,
    Ref,
    check_identifier,
    identifier,
    write_archive,
)
from torchtract.runtime import load


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder.layers.0", "encoder_layers_0"),
        ("x", "x"),
        ("_x1", "_x1"),
        ("0.weight", "_0_weight"),
        ("", "_"),
        ("a b\n/é", "a_b___"),
        ("in", "in_"),
        ("inside", "inside"),
        ("string", "string_"),
        ("info", "_info"),
        ("true", "_true"),
        ("false_positives", "_false_positives"),
    ],
)
def test_identifier(name: str, expected: str) -> None:
    assert identifier(name) == expected


@given(st.text())
def test_every_string_gives_a_valid_identifier_that_stays(name: str) -> None:
    made = identifier(name)
    check_identifier(made)
    assert identifier(made) == made


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "no digit at the start"),
        ("1x", "no digit at the start"),
        ("a.b", "ASCII letters"),
        ("naïve", "ASCII letters"),
        ("x\n", "ASCII letters"),
        ("graph", "keyword"),
        ("length_of", "keyword"),
        ("inf", "that literal"),
        ("infra", "that literal"),
        ("trueness", "that literal"),
    ],
)
def test_name_of_a_user_is_refused_and_another_one_proposed(name: str, why: str) -> None:
    with pytest.raises(FormatError, match=why) as caught:
        check_identifier(name, "input name")
    assert str(caught.value).startswith(f"input name {name!r}: ")
    assert f"use {identifier(name)!r}" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["i", "e1", "nan", "iff", "intern", "form", "relu", "variable", "_"]
)
def test_tract_takes_names_that_resemble_its_words(name: str, tmp_path: object) -> None:
    check_identifier(name)
    operations = [external(name, 2), Operation("neg", {"x": Ref(name)}, ("output",))]
    write_archive(Graph("g", [name], ["output"], operations), f"{tmp_path}/m.nnef.tar")
    assert load(f"{tmp_path}/m.nnef.tar").inputs[0].name == name


def test_names_are_unique() -> None:
    names = Names(reserved=["B"])
    stems = ["x", "x", "B", "x_1", "x", "x_1"]
    assert [names.unique(stem) for stem in stems] == ["x", "x_1", "B_1", "x_1_1", "x_2", "x_1_2"]


def test_reserved_names_are_not_given_out() -> None:
    names = Names()
    names.reserve("output")
    assert names.unique("output") == "output_1"


@pytest.mark.parametrize("taken", ["B", "x", "y"])
def test_a_name_is_reserved_once(taken: str) -> None:
    names = Names(reserved=["B"])
    names.reserve("x")
    names.unique("y")
    with pytest.raises(FormatError, match=f"name '{taken}': is refused"):
        names.reserve(taken)


def test_many_names_from_one_stem_are_quick() -> None:
    names = Names()
    assert len({names.unique("x") for _ in range(50_000)}) == 50_000
