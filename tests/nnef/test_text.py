from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import external, linear, variable
from torchtract.errors import FormatError
from torchtract.nnef import Argument, Dim, Graph, Operation, Ref, format_graph, write_archive
from torchtract.nnef.text import format_argument, format_operation
from torchtract.runtime import load

LINEAR = """\
version 1.0;

extension tract_registry tract_core;
extension tract_symbol B;
extension tract_assert B >= 1;
extension KHR_enable_fragment_definitions;

fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[])
{
  properties = [
    ('torchtract.version', '0.1.0')
  ];
}

graph network(input) -> (output)
{
  input = tract_core_external(shape = [B, 3], datum_type = 'f32');

  # fc
  fc_weight = variable<scalar>(label = 'fc.weight', shape = [4, 3]);
  fc_matmul = matmul(input, fc_weight, transposeB = true);
  fc_bias = variable<scalar>(label = 'fc.bias', shape = [1, 4]);
  output = add(fc_matmul, fc_bias);
}
"""


def test_whole_document() -> None:
    assert format_graph(linear()) == LINEAR


@pytest.mark.parametrize("version", ["0.21.13", "0.23.9"])
def test_whole_document_does_not_depend_on_the_version(version: str) -> None:
    assert format_graph(linear(), version) == LINEAR


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (Ref("x"), "x"),
        (Dim("S * 2 - 1"), "S * 2 - 1"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (1e-5, "1e-5"),
        (0.0001, "0.0001"),
        (123456789.0, "123456790.0"),
        (1e16, "1e16"),
        (16777217.0, "16777216.0"),  # one more than float32 can tell
        (3.4028234663852886e38, "3.4028235e38"),
        (1.401298464324817e-45, "1e-45"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        ("f32", "'f32'"),
        ("", "''"),
        ('it\'s a "b" \\ c', "'it\\'s a \\\"b\\\" \\\\ c'"),
        ([], "[]"),
        ([1, Dim("S"), Ref("x")], "[1, S, x]"),
        ([(0, 1), (2, 3)], "[(0, 1), (2, 3)]"),
        (("body", Ref("x"), 1), "('body', x, 1)"),
    ],
)
def test_argument(argument: Argument, text: str) -> None:
    assert format_argument(argument) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_float32(value: float) -> None:
    text = format_argument(value)
    assert np.float32(text) == np.float32(value)
    assert "." in text or "e" in text  # else tract reads a dimension
    assert "+" not in text


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, float("nan"), 1e39, -1e300])
def test_number_without_a_literal_is_refused(number: float) -> None:
    with pytest.raises(FormatError, match="can't be written"):
        format_argument(number)


@pytest.mark.parametrize("value", [None, 1j, np.float32(1), np.int64(3), ("one",), {}])
def test_value_that_is_no_argument_is_a_defect_of_the_caller(value: object) -> None:
    with pytest.raises(TypeError, match="no argument"):
        format_argument(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (Operation("relu", {"x": Ref("a")}, ("b",)), "b = relu(a);"),
        (Operation("mul", {"x": Ref("a"), "y": 2.0}, ("b",)), "b = mul(a, 2.0);"),
        # tract takes the operands of binary operators by position, whatever they are called
        (Operation("sub", {"y": Ref("a"), "x": 1.0}, ("b",)), "b = sub(1.0, a);"),
        (
            Operation("conv", {"input": Ref("a"), "filter": Ref("w"), "stride": [2, 2]}, ("b",)),
            "b = conv(a, w, stride = [2, 2]);",
        ),
        (
            Operation("concat", {"values": [Ref("a"), Ref("b")], "axis": 1}, ("c",)),
            "c = concat([a, b], axis = 1);",
        ),
        (
            Operation("tract_core_topk", {"input": Ref("a"), "k": 3, "axis": 1}, ("v", "i")),
            "v, i = tract_core_topk(a, k = 3, axis = 1);",
        ),
        (
            Operation("unstack", {"value": Ref("a"), "axis": 0}, ("b", "c"), outputs_as_list=True),
            "[b, c] = unstack(a, axis = 0);",
        ),
        (
            Operation("my_fragment", {"x": Ref("a"), "n": 1}, ("b",)),
            "b = my_fragment(x = a, n = 1);",
        ),
    ],
)
def test_operation(operation: Operation, line: str) -> None:
    assert format_operation(operation) == line


def test_operators_have_their_older_names_in_older_versions() -> None:
    graph = Graph(
        inputs=["x"],
        outputs=["y"],
        operations=[external("x", 2), Operation("tract_core_silu", {"x": Ref("x")}, ("y",))],
    )
    old, new = format_graph(graph, "0.21.13"), format_graph(graph, "0.23.9")
    assert "y = tract_transformers_silu(x);" in old
    assert "extension tract_registry tract_transformers;" in old
    assert "y = tract_core_silu(x);" in new
    assert "tract_transformers" not in new


def test_expressions_and_fragments_are_announced() -> None:
    graph = linear()
    assert "KHR_enable_operator_expressions" not in format_graph(graph)
    graph.operations[0].arguments["shape"] = [Dim("B * 2"), 3]
    assert "extension KHR_enable_operator_expressions;" in format_graph(graph)


def test_variables_nobody_uses_and_outputs_that_are_variables_are_written() -> None:
    graph = linear()
    graph.variables["mask"] = variable("mask", np.array([True, False]))
    graph.outputs.append("mask")
    lines = format_graph(graph).splitlines()
    assert "  mask = variable<logical>(label = 'mask', shape = [2]);" in lines
    assert "graph network(input) -> (output, mask)" in lines


def test_module_names_stay_in_their_comment() -> None:
    graph = linear()
    graph.operations[1].module = graph.operations[2].module = "a\nb = 1;"
    assert "\n  # a b = 1;\n" in format_graph(graph)


def broken(change: str) -> Graph:
    graph = linear()
    match change:
        case "symbol and tensor":
            graph.symbols.append("fc_matmul")
        case "defined twice":
            graph.operations[1].outputs = ("fc_bias",)
        case "undefined":
            graph.operations[1].arguments["A"] = Ref("nothing")
        case "used too early":
            graph.operations.reverse()
        case "no such output":
            graph.outputs = ["nothing"]
        case "keyword":
            graph.name = "fragment"
        case "literal":
            graph.rename("output", "info")
    return graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("symbol and tensor", "'fc_matmul'.*symbol"),
        ("defined twice", "'fc_bias'.*twice"),
        ("undefined", "'nothing': can't be used by matmul"),
        ("used too early", "'fc_matmul': can't be used by add"),
        ("no such output", "'nothing': can't be used by graph network"),
        ("keyword", "'fragment'.*keyword"),
        ("literal", "'info'.*inf.*use '_info'"),
    ],
)
def test_graph_that_tract_would_misread_is_refused(change: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        format_graph(broken(change))


def tricky() -> Graph:
    """Every kind of literal, comments, lists of outputs, expressions, and odd strings."""
    operations = [
        external("x", "B", 4),
        Operation("mul", {"x": Ref("x"), "y": -1.5e-7}, ("a",), module="odd; # 'name\""),
        Operation("max", {"x": Ref("a"), "y": float("-inf")}, ("b",), module="layers.0"),
        Operation("min", {"x": Ref("b"), "y": 1e16}, ("c",)),
        Operation("reshape", {"input": Ref("c"), "shape": [Dim("B * 2"), 2]}, ("d",)),
        Operation("unstack", {"value": Ref("d"), "axis": 1}, ("e", "f"), outputs_as_list=True),
        Operation("sub", {"y": Ref("f"), "x": Ref("e")}, ("y",)),
    ]
    return Graph(
        inputs=["x"],
        outputs=["y"],
        symbols=["B"],
        properties={"quote": 'it\'s "here" \\', "json": '{"a": [1, 2]}', "lines": "a\nb"},
        operations=operations,
    )


def test_tract_reads_what_is_written(tmp_path: object) -> None:
    path = f"{tmp_path}/tricky.nnef.tar"
    write_archive(tricky(), path, version="0.21.13")
    model = load(path)
    assert [fact.shape for fact in model.inputs] == [("B", 4)]
    x = np.arange(8, dtype=np.float32).reshape(2, 4) * 1e7
    scaled = x * np.float32(-1.5e-7)
    np.testing.assert_array_equal(
        model.compile()(x), scaled.reshape(4, 2)[:, 0] - scaled.reshape(4, 2)[:, 1]
    )
