from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.conftest import ENCODER, Torchtract, WriteGraph
from torchtract import PulsedModel, load

TABLE = [
    ["input", "audio", "B,1,8,F32", "2", "8", "0"],
    ["output", "y", "B,1,4,F32", "2", "4", "1"],
    ["symbol", "B"],
    ["assertion", "B", ">=", "1"],
]


def test_shows_axes_pulses_delays_and_latency(torchtract: Torchtract, encoder: Path) -> None:
    result = torchtract("pulse", encoder, "S=8")

    assert result.exit_code == 0
    title, head, *rows = result.stdout.splitlines()
    assert title == "encoder.nnef.tgz, S=8"
    assert head.split() == ["name", "shape", "and", "type", "axis", "pulse", "delay"]
    assert [row.split() for row in rows[:4]] == TABLE
    assert rows[-1] == "latency: at most 9 frames of S from a frame's arrival to its output"
    assert [path.name for path in encoder.parent.iterdir()] == ["encoder.nnef.tgz"]


def test_writes_what_streams(torchtract: Torchtract, encoder: Path) -> None:
    written = encoder.with_name("pulsed.nnef.tgz")

    result = torchtract("pulse", encoder, "S=8", "--set", "B=3", "-o", written)

    assert result.exit_code == 0
    assert result.stdout.endswith(f"written to {written}\n")
    pulsed = load(written)
    assert isinstance(pulsed, PulsedModel)
    assert pulsed.inputs[0].shape == (3, 1, 8)
    assert pulsed.delay == 1


def test_json(torchtract: Torchtract, encoder: Path) -> None:
    written = encoder.with_name("pulsed.nnef.tgz")

    result = torchtract("pulse", "--json", encoder, "S=8", "-o", written)

    assert written.exists()
    data = json.loads(result.stdout)
    assert {name: data[name] for name in ("symbol", "pulse", "delay", "latency")} == {
        "symbol": "S",
        "pulse": 8,
        "delay": 1,
        "latency": 9,
    }
    y = {"name": "y", "dtype": "float32", "shape": ["B", 1, 4]}
    assert data["outputs"] == [y | {"axis": 2, "pulse": 4, "delay": 1}]
    assert (data["symbols"], data["assertions"]) == (["B"], ["B >= 1"])


def test_an_input_that_does_not_stream_has_no_axis(
    torchtract: Torchtract, graph: WriteGraph
) -> None:
    text = ENCODER.replace("(audio)", "(audio, gain)").replace(
        "    y = conv(audio",
        "    gain = tract_core_external(shape = [1, 1, 1], datum_type = 'f32');\n"
        "    loud = audio * gain;\n    y = conv(loud",
    )
    model = graph(text)

    shown = torchtract("pulse", model, "S=8").stdout.splitlines()
    data = json.loads(torchtract("pulse", "--json", model, "S=8").stdout)

    assert ["input", "gain", "1,1,1,F32"] in [line.split() for line in shown]
    assert data["inputs"][1]["axis"] is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["S=3"], "error: S=3: .*multiples of 2 do"),
        (["S=0"], "error: S=0: a pulse has at least one frame"),
        (["S=-8"], "error: S=-8: a pulse has at least one frame"),
        (["S=2*B"], "error: .*a pulse has a fixed length"),
        (["T=8"], "error: no symbol is called T: there is B, S"),
        (["S=8,B=2"], "error: S=8,B=2: one symbol streams; give the others a size by --set"),
        (["S=8", "--set", "S=8"], "error: symbol S is already set"),
        (["S=8", "-o", "missing/m.nnef.tgz"], r"error: missing.m\.nnef\.tgz: "),
    ],
    ids=str,
)
def test_refuses(
    torchtract: Torchtract, encoder: Path, args: list[str], message: str, tmp_path: Path
) -> None:
    result = torchtract("pulse", encoder, *args)

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert re.match(message, result.stderr), result.stderr
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.nnef.tgz"]


def test_a_pulsed_model_is_not_pulsed_again(torchtract: Torchtract, encoder: Path) -> None:
    written = encoder.with_name("pulsed.nnef.tgz")
    torchtract("pulse", encoder, "S=8", "-o", written)

    result = torchtract("pulse", written, "S=8")

    assert result.exit_code == 1
    assert "the model is pulsed already" in result.stderr


@pytest.mark.parametrize("args", [[], ["S"], ["=8"], ["S=8", "B=2"], ["S=8,S=4"]], ids=str)
def test_usage(torchtract: Torchtract, encoder: Path, args: list[str]) -> None:
    result = torchtract("pulse", encoder, *args)

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


def test_never_writes_over_its_input(torchtract: Torchtract, encoder: Path) -> None:
    file = encoder.with_name("m.nnef.tgz")
    load(encoder).pulse(S=8).save(file)
    before = file.read_bytes()

    result = torchtract("pulse", file, "S=4", "-o", file)

    assert result.exit_code == 2
    assert "--output" in result.stderr
    assert file.read_bytes() == before
