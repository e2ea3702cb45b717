from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Torchtract


def test_tables(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("dump", model)

    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["input", "x", "B,4,F32"] in lines
    assert ["output", "next", "B,I64"] in lines
    assert ["symbol", "B"] in lines
    assert ["assertion", "B", ">=", "1"] in lines
    assert ["torchtract.modules", "encoder", "encoder.layer"] in lines
    number = next(line[0] for line in lines if "encoder_layer_tanh" in line)
    assert [number, "encoder_layer_tanh", "Tanh", "0", "B,4,F32"] in lines


def test_json(torchtract: Torchtract, model: Path) -> None:
    data = json.loads(torchtract("dump", "--json", model).stdout)

    assert data["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": ["B", 4]},
        {"name": "ids", "dtype": "int64", "shape": ["B"]},
    ]
    assert [output["name"] for output in data["outputs"]] == ["y", "next"]
    assert data["symbols"] == ["B"]
    assert data["assertions"] == ["B >= 1"]
    assert data["properties"] == {"torchtract.modules": "encoder encoder.layer"}
    tanh = next(node for node in data["nodes"] if node["name"] == "encoder_layer_tanh")
    assert tanh["op"] == "Tanh"
    assert tanh["inputs"] == ["x"]
    assert tanh["outputs"][0]["shape"] == ["B", 4]


def test_set_makes_shapes_concrete(torchtract: Torchtract, model: Path) -> None:
    data = json.loads(torchtract("dump", "--json", "--set", "B=3", model).stdout)

    assert [fact["shape"] for fact in data["inputs"]] == [[3, 4], [3]]
    assert data["symbols"] == []


def test_no_nodes(torchtract: Torchtract, model: Path) -> None:
    assert "Tanh" not in torchtract("dump", "--no-nodes", model).stdout
    assert "nodes" not in json.loads(torchtract("dump", "--no-nodes", "--json", model).stdout)


def test_optimized_shows_the_compiled_network(torchtract: Torchtract, model: Path) -> None:
    as_is = json.loads(torchtract("dump", "--json", model).stdout)
    optimized = json.loads(torchtract("dump", "--json", "--optimized", model).stdout)

    # The cast of a constant is computed when the model is compiled.
    assert "Cast" in {node["op"] for node in as_is["nodes"]}
    assert "Cast" not in {node["op"] for node in optimized["nodes"]}


@pytest.mark.parametrize("settings", [["--set", "B=3,S=5"], ["--set", "B=3", "--set", "S = 5"]])
def test_several_symbols(torchtract: Torchtract, model: Path, settings: list[str]) -> None:
    graph = model / "graph.nnef"
    graph.write_text(
        graph.read_text()
        .replace("tract_symbol B;", "tract_symbol B;\nextension tract_symbol S;")
        .replace("[B, 4]", "[B, S]")
    )

    data = json.loads(torchtract("dump", "--json", *settings, model).stdout)

    assert data["inputs"][0]["shape"] == [3, 5]


def test_set_takes_an_expression(torchtract: Torchtract, model: Path) -> None:
    graph = model / "graph.nnef"
    graph.write_text(
        graph.read_text().replace("tract_symbol B;", "tract_symbol B;\nextension tract_symbol S;")
    )

    data = json.loads(torchtract("dump", "--json", "--set", "B=2*S", model).stdout)

    assert data["inputs"][0]["shape"] == ["2*S", 4]


@pytest.mark.parametrize("setting", ["B", "B=", "=3", "", "B=3,", "B=3,B=4", "3=B"])
def test_malformed_setting(torchtract: Torchtract, model: Path, setting: str) -> None:
    result = torchtract("dump", "--set", setting, model)

    assert result.exit_code == 2
    assert "--set" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("setting", "named"), [("Q=3", "Q"), ("B=0", "B >= 1"), ("B=3.5", "3.5")])
def test_refused_setting(torchtract: Torchtract, model: Path, setting: str, named: str) -> None:
    result = torchtract("dump", "--set", setting, model)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
