from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import ENCODER, Record, Torchtract, WriteGraph
from torchtract import load


@pytest.fixture
def wrong(graph: WriteGraph, tmp_path: Path) -> Path:
    """The encoder with another weight, pulsed."""
    path = tmp_path / "wrong.nnef.tgz"
    load(graph(ENCODER.replace("0.5]]]", "0.6]]]"), "wrong")).pulse(S=4).save(path)
    return path


def test_equal(torchtract: Torchtract, encoder: Path) -> None:
    result = torchtract("check-stream", encoder, "S=4")

    assert (result.exit_code, result.stderr) == (0, "")
    title, head, *rows = result.stdout.splitlines()
    assert title == "equal, tolerance: approximate"
    assert head.split()[:2] == ["output", "length"]
    lengths = [int(row.split()[1]) for row in rows]
    assert {0, 1, 4, 5} <= set(lengths)
    assert max(lengths) > 20


def test_lengths_tolerance_seed_and_sizes(torchtract: Torchtract, encoder: Path) -> None:
    def report(*args: str) -> dict[str, object]:
        options = ("--length", "9", "--length", "30", "--json", "--set", "B=3", *args)
        result = torchtract("check-stream", encoder, "S=4", *options)
        assert result.exit_code == 0
        data: dict[str, object] = json.loads(result.stdout)
        return data

    data = report("--tolerance", "close")
    rows = data["rows"]
    assert isinstance(rows, list)
    assert data["ok"] is True
    assert data["tolerance"] == "close"
    assert [row["length"] for row in rows] == [9, 9, 30, 30]
    assert [row["frames"] for row in rows] == [5, 5, 15, 15]
    assert rows[0]["comparison"]["index"][0] < 3
    assert report() == report("--seed", "0") != report("--seed", "1")


def test_given_inputs_are_streamed(torchtract: Torchtract, encoder: Path, record: Record) -> None:
    audio = record("in.npz", audio=np.ones((1, 1, 7), np.float32))

    result = torchtract("check-stream", encoder, "S=4", "--input", audio, "--json")

    rows = json.loads(result.stdout)["rows"]
    assert max(row["length"] for row in rows) == 7
    assert {row["comparison"]["expected"] for row in rows if row["length"] == 7} == {0.25}


def test_what_is_saved_is_checked(torchtract: Torchtract, encoder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "pulsed.nnef.tgz"
    torchtract("pulse", encoder, "S=4", "-o", saved)

    result = torchtract("check-stream", encoder, "--pulsed", saved)

    assert result.exit_code == 0
    assert result.stdout.startswith("equal")


def test_different(torchtract: Torchtract, encoder: Path, wrong: Path) -> None:
    result = torchtract("check-stream", encoder, "--pulsed", wrong)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: S=3 in chunks of")
    assert "output y differs from frame 0 on" in result.stderr


def test_different_in_json(torchtract: Torchtract, encoder: Path, wrong: Path) -> None:
    result = torchtract("check-stream", encoder, "--pulsed", wrong, "--length", "9", "--json")

    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["ok"], data["tolerance"], data["output"]) == (False, "approximate", "y")
    assert 0 < data["max_abs"] < 1
    assert "S=9 in chunks of" in data["message"]
    assert data["message"] in result.stderr


def test_lengths_that_the_model_refuses_are_told(torchtract: Torchtract, graph: WriteGraph) -> None:
    limited = graph(ENCODER.replace("B >= 1;", "B >= 1;\nextension tract_assert S <= 9;"))

    result = torchtract("check-stream", limited, "S=4")

    assert result.exit_code == 0
    left_out = [line for line in result.stdout.splitlines() if line.startswith("left out: S=")]
    assert left_out
    assert all("S <= 9" in line for line in left_out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["S=3"], "multiples of 2 do"),
        (["T=4"], "no symbol is called T"),
        (["S=4,B=2"], "one symbol streams"),
        (["--pulsed", "encoder.nnef.tgz"], "it is no pulsed model"),
        (["--pulsed", "missing"], "missing: "),
        (["S=4", "--input", "missing.npz"], "missing.npz: No such file"),
        (["S=4", "--input", "in.npz"], "input x: unknown, the model takes audio"),
        (["S=4", "--length", "1000000000000000"], "no random one of"),
    ],
    ids=str,
)
def test_refuses(
    torchtract: Torchtract,
    encoder: Path,
    record: Record,
    args: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(encoder.parent)
    record("in.npz", x=np.zeros(3, np.float32))

    result = torchtract("check-stream", encoder, *args)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stdout == ""


def test_a_stream_of_another_model_is_refused(
    torchtract: Torchtract, encoder: Path, graph: WriteGraph, tmp_path: Path
) -> None:
    other = tmp_path / "other.nnef.tgz"
    load(graph(ENCODER.replace("audio", "mel"), "other")).pulse(S=4).save(other)

    result = torchtract("check-stream", encoder, "--pulsed", other)

    assert result.exit_code == 1
    assert "it is of another model, since it takes and gives mel: float32" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["S=4", "--pulsed", "m"],
        ["S=4", "B=2"],
        ["S=4", "--length", "-1"],
        ["S=4", "--seed", "-1"],
        ["S=4", "--tolerance", "loose"],
    ],
    ids=str,
)
def test_usage(torchtract: Torchtract, encoder: Path, args: list[str]) -> None:
    result = torchtract("check-stream", encoder, *args)

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
