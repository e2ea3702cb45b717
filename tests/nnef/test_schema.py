from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphs import external
from torchtract.errors import EngineError, FormatError
from torchtract.nnef import Graph, Operation, Ref, format_graph, schema
from torchtract.nnef.operators import OPERATORS
from torchtract.runtime import load

ALL = [op for table in OPERATORS.values() for op in re.findall(r"(\w+)\(", table)]


def using(op: str, **arguments: object) -> Graph:
    operation = Operation(op, {"x": Ref("x"), **arguments}, ("y",))  # type: ignore[dict-item]
    return Graph(inputs=["x"], outputs=["y"], operations=[external("x", 2, 3), operation])


def test_embedded_version_is_the_one_that_is_linked() -> None:
    manifest = (Path(__file__).parents[2] / "Cargo.toml").read_text()
    assert f'\ntract-nnef = "={schema.EMBEDDED}"\n' in manifest
    assert schema.known_versions()[-1] == schema.EMBEDDED


def test_table_is_read_whole() -> None:
    lines = "".join(OPERATORS.values()).replace("\n            ", " ").split("\n")
    assert len(ALL) == len(set(ALL)) == sum(1 for line in lines if line.strip())
    marks = sum(line.count("@") for line in lines)
    oldest = schema.known_versions()[0]
    read = [v for op in schema._OPERATORS.values() for v in op.since.values() if v != oldest]
    assert len(read) == marks
    assert set(read) <= set(schema.known_versions())
    assert schema.parameters_of("conv") == (
        *("input", "filter", "bias"),
        *("border", "padding", "stride", "dilation", "groups"),
    )
    assert schema.tensors_of("conv") == ("input", "filter", "bias")
    assert schema.parameters_of("tract_core_external") == ("datum_type", "shape")
    assert schema.parameters_of("tract_moe_ffn")[-1] == "expert_layout"
    assert schema.parameters_of("tract_onnx_resize")[2] == "roi"


@pytest.mark.parametrize("op", ALL)
def test_tract_knows_every_operator_of_the_table(op: str, tmp_path: Path) -> None:
    assert "No definition for operator" not in load_error(op, tmp_path)


def test_tract_does_not_know_others(tmp_path: Path) -> None:
    assert "No definition for operator" in load_error("rcp", tmp_path)


def load_error(op: str, folder: Path) -> str:
    """What tract says about a call of an operator with too few arguments or wrong ones."""
    registries = "".join(f"extension tract_registry {r};\n" for r in OPERATORS if r != "tract_nnef")
    call = f"{op}({', '.join(['x'] * len(schema.tensors_of(op)))})"
    (folder / "graph.nnef").write_text(
        f"version 1.0;\n{registries}graph g(x) -> (y) {{\n"
        "x = tract_core_external(shape = [2, 3], datum_type = 'f32');\n"
        f"y = {call};\n}}\n"
    )
    try:
        load(folder)
    except EngineError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("version", schema.known_versions())
def test_known_version(version: str) -> None:
    schema.check_version(version)
    schema.check_graph(using("relu"), version)


@pytest.mark.parametrize("version", ["", "0.21", "0.21.5", "0.21.20", "0.23.10", "1.0.0", "latest"])
def test_unknown_version_is_refused_with_the_known_ones(version: str) -> None:
    with pytest.raises(FormatError, match=r"0\.21\.6 to 0\.21\.19, 0\.22\.0 to .*, .* to 0\.23\.9"):
        schema.check_version(version)


@pytest.mark.parametrize(
    ("op", "first"),
    [
        ("tract_core_log_softmax", "0.21.15"),
        ("copy", "0.23.0"),
        ("any_reduce", "0.23.0"),
        ("tract_core_cumsum", "0.23.9"),
        ("tract_core_silu", "0.21.13"),
    ],
)
def test_operator_that_is_too_new_is_refused_by_name(op: str, first: str) -> None:
    versions = schema.known_versions()
    before = versions[versions.index(first) - 1]
    graph = Graph(operations=[Operation(op, {}, ("y",))])
    schema.check_graph(graph, first)
    with pytest.raises(FormatError, match=f"{before}.*tract has {op} since {first}"):
        schema.check_graph(graph, before)


def test_parameter_that_is_too_new_is_refused_by_name() -> None:
    graph = using("tract_core_scan", external_state=1)
    del graph.operations[1].arguments["x"]
    schema.check_graph(graph, "0.23.0")
    with pytest.raises(FormatError, match="tract_core_scan has the parameter external_state since"):
        schema.check_graph(graph, "0.22.4")


def test_all_that_is_unknown_is_named_at_once() -> None:
    graph = using("relu", slope=0.1)
    graph.operations += using("rcp").operations
    with pytest.raises(FormatError) as caught:
        format_graph(graph)
    assert "relu has no parameter slope; tract has no operator rcp." in str(caught.value)


def test_fragments_may_be_called_and_what_they_call_counts() -> None:
    graph = using("swish")
    graph.fragments["swish"] = (
        "fragment swish(x: tensor<scalar>) -> (y: tensor<scalar>) { y = tract_core_silu(x); }"
    )
    assert schema.registries_of(graph, "0.23.9") == ["tract_core"]
    assert "\n\nfragment swish(" in format_graph(graph)
    with pytest.raises(FormatError, match=r"tract_core_silu since 0\.21\.13"):
        schema.check_graph(graph, "0.21.12")


@pytest.mark.parametrize(
    ("ops", "version", "registries"),
    [
        (["relu", "conv"], "0.23.9", []),
        (["tract_onnx_lrn", "tract_core_cast", "relu"], "0.23.9", ["tract_core", "tract_onnx"]),
        (["tract_core_is_nan"], "0.23.9", ["tract_core"]),
        (["tract_core_is_nan"], "0.22.4", ["tract_onnx"]),
        (
            ["tract_pulse_delay", "tract_extra_exp_unit_norm"],
            "0.23.9",
            ["tract_extra", "tract_pulse"],
        ),
        (["tract_transformers_sdpa"], "0.22.0", ["tract_transformers"]),
    ],
)
def test_registries(ops: list[str], version: str, registries: list[str]) -> None:
    graph = Graph(operations=[Operation(op, {}, (f"y{i}",)) for i, op in enumerate(ops)])
    assert schema.registries_of(graph, version) == registries


def test_parameters_of_an_unknown_operator() -> None:
    with pytest.raises(FormatError, match="rcp: is no operator that tract loads"):
        schema.parameters_of("rcp")
