from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchtract import Fact, Model, load
from torchtract.errors import EngineError, LoadError, SymbolError
from torchtract.runtime import Node

WriteModel = Callable[..., Path]

TWO_SYMBOLS = """
    extension tract_symbol B;
    extension tract_symbol S;
    extension tract_assert B >= 1;
    extension tract_assert S <= 100;
    fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[]) {
        properties = [("name", "demo"), ("count", 3.0), ("sizes", [1.0, 2.0])];
    }
    graph net(x, mask) -> (y) {
        x = tract_core_external(shape = [B, (S + 3) / 4, 8], datum_type = 'f32');
        mask = tract_core_external(shape = [B, (S + 3) / 4, 1], datum_type = 'f32');
        y = mul(x, mask);
    }
"""


@pytest.fixture
def two_symbols(write_model: WriteModel) -> Model:
    return load(write_model(TWO_SYMBOLS))


def test_facts(two_symbols: Model) -> None:
    assert two_symbols.inputs == (
        Fact("x", "float32", ("B", "(S+3)/4", 8)),
        Fact("mask", "float32", ("B", "(S+3)/4", 1)),
    )
    assert two_symbols.outputs == (Fact("y", "float32", ("B", "(S+3)/4", 8)),)
    assert two_symbols.symbols == ("B", "S")
    assert two_symbols.assertions == ("B >= 1", "S <= 100")


def test_a_fact_looks_as_in_tract(two_symbols: Model) -> None:
    assert repr(two_symbols.inputs[0]) == "x: B,(S+3)/4,8,F32"
    assert repr(Fact("z", "bool", ())) == "z: Bool"


def test_a_model_shows_what_it_takes_and_gives(two_symbols: Model) -> None:
    lines = [line.split() for line in repr(two_symbols).splitlines()]
    assert lines == [
        ["Model"],
        ["input", "x", "B,(S+3)/4,8,F32"],
        ["input", "mask", "B,(S+3)/4,1,F32"],
        ["output", "y", "B,(S+3)/4,8,F32"],
        ["symbol", "B"],
        ["symbol", "S"],
        ["assertion", "B", ">=", "1"],
        ["assertion", "S", "<=", "100"],
    ]
    html = two_symbols._repr_html_()
    assert "<td" in html
    assert "S &lt;= 100" in html


def test_properties(two_symbols: Model) -> None:
    properties = two_symbols.properties
    assert properties["name"] == "demo"
    assert properties["count"] == 3.0
    np.testing.assert_array_equal(properties["sizes"], [1.0, 2.0])


def test_nodes(relu: Path) -> None:
    nodes = {node.name: node for node in load(relu).nodes()}
    fact = Fact("input", "float32", ("B", 8))
    assert nodes["input"] == Node("input", "Source", (), (fact,))
    (last,) = [node for node in nodes.values() if node.outputs[0].name == "output"]
    assert (last.op, last.outputs[0].shape) == ("Max", ("B", 8))
    assert set(last.inputs) < set(nodes)


def test_set_gives_another_model(two_symbols: Model) -> None:
    concrete = two_symbols.set(B=3).set(S=np.int64(17))
    assert concrete.inputs[0].shape == (3, 5, 8)
    assert concrete.symbols == ()
    assert concrete.assertions == ()
    assert two_symbols.symbols == ("B", "S")
    assert two_symbols.set(B=3, S=17).outputs == concrete.outputs
    assert two_symbols.set(S=17).assertions == ("B >= 1",)


def test_set_to_an_expression(two_symbols: Model) -> None:
    assert two_symbols.set(S="4*B").inputs[0].shape[0] == "B"
    assert two_symbols.set(S="4*B").symbols == ("B",)
    with pytest.raises(SymbolError, match="B=30, S=120 is not allowed: the model asserts S <= 100"):
        two_symbols.set(S="4*B").set(B=30)


def test_set_nothing(two_symbols: Model) -> None:
    assert two_symbols.set().inputs == two_symbols.inputs


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"T": 3}, "no symbol is called T: there is B, S"),
        ({"B": 0}, "B=0 is not allowed: the model asserts B >= 1"),
        ({"B": -2}, "B=-2 is not allowed: the model asserts B >= 1"),
        ({"S": 101}, "S=101 is not allowed: the model asserts S <= 100"),
        ({"S": -100}, "S=-100 is not allowed: (S+3)/4 in input x: B,(S+3)/4,8,F32 would be"),
        ({"B": 2.0}, "B=2.0: a float is no size"),
        ({"B": None}, "B=None: a NoneType is no size"),
        ({"B": True}, "B=True: a bool is no size"),
        ({"B": "2*"}, "B=2*: tract can't read this as an expression"),
        ({"B": ""}, "B=: tract can't read this as an expression"),
        ({"B": 2**70}, f"B={2**70}: the largest size is"),
    ],
)
def test_set_refuses(two_symbols: Model, values: dict[str, Any], says: str) -> None:
    with pytest.raises(SymbolError) as caught:
        two_symbols.set(**values)
    assert says in str(caught.value)


def test_set_refuses_a_symbol_that_is_set(two_symbols: Model) -> None:
    with pytest.raises(SymbolError, match="symbol B is already set, to 3"):
        two_symbols.set(B=3).set(B=4)


def test_set_refuses_any_symbol_where_none_is_free(linear: Path) -> None:
    with pytest.raises(SymbolError, match="no symbol is called B: the model has none"):
        load(linear).set(B=1)


def test_assertions_over_two_symbols_hold_across_calls(write_model: WriteModel) -> None:
    graph = TWO_SYMBOLS.replace("S <= 100", "S + B <= 100")
    model = load(write_model(graph)).set(S=90)
    with pytest.raises(SymbolError, match=r"B=11, S=90 is not allowed: .*S\+B <= 100|B\+S <= 100"):
        model.set(B=11)
    assert model.set(B=10).symbols == ()


def test_scenarios(write_model: WriteModel) -> None:
    scenarios = "tract_assert tg: S == 1;\n extension tract_assert pp: S >= 8;"
    model = load(write_model(TWO_SYMBOLS.replace("tract_assert S <= 100;", scenarios)))
    assert model.assertions == ("B >= 1", "tg: S == 1", "pp: S >= 8")
    with pytest.raises(SymbolError, match=r"S=2 is not allowed: .* one of tg: S == 1, pp: S >= 8"):
        model.set(S=2)
    assert model.set(S=1).inputs[0].shape == ("B", 1, 8)


def test_a_model_without_inputs_or_outputs(write_model: WriteModel) -> None:
    model = load(write_model("graph net() -> () { }"))
    assert (model.inputs, model.outputs) == ((), ())
    assert repr(model) == "Model"
    assert model.compile()() == ()


def test_copies_are_the_model_itself(two_symbols: Model) -> None:
    assert copy.copy(two_symbols) is two_symbols
    assert copy.deepcopy([two_symbols])[0] is two_symbols


def test_pickle_from_a_folder(linear: Path) -> None:
    pickled = pickle.dumps(load(linear))
    (linear / "fc.weight.dat").unlink()
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.compile()(np.ones((2, 3), np.float32)), np.full((2, 4), 3))


def test_pickle_keeps_what_was_set(two_symbols: Model) -> None:
    again = pickle.loads(pickle.dumps(two_symbols.set(B=3).set(S=5)))
    assert again.inputs[0].shape == (3, 2, 8)
    assert pickle.loads(pickle.dumps(again)).inputs == again.inputs
    with pytest.raises(SymbolError, match="already set"):
        again.set(B=3)


def test_pickle_refuses_a_file_that_changed(relu: Path) -> None:
    model = load(relu)
    os.utime(relu / "graph.nnef", (0, 0))
    with pytest.raises(pickle.PicklingError, match="changed after the model was loaded"):
        pickle.dumps(model)
    (relu / "graph.nnef").unlink()
    with pytest.raises(pickle.PicklingError, match="changed after the model was loaded"):
        pickle.dumps(model)


def test_errors_have_a_common_base() -> None:
    assert issubclass(LoadError, EngineError)
    assert issubclass(SymbolError, EngineError)
