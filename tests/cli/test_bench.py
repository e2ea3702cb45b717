from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Record, Torchtract


def test_random_inputs(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("bench", "--set", "B=3", "--runs", "7", model)

    assert result.exit_code == 0
    title, _, *rows = result.stdout.splitlines()
    assert title == "7 runs, 1 thread"
    assert [row.split()[0] for row in rows] == ["minimum", "median", "maximum"]


def test_json_of_recorded_inputs(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    recorded = record("in.npz", **inputs)

    result = torchtract(
        "bench", "--json", "--input", recorded, "--runs", "6", "--threads", "2", model
    )

    data = json.loads(result.stdout)
    assert (data["runs"], data["threads"]) == (6, 2)
    assert 0 < data["minimum"] <= data["median"] <= data["maximum"]


def test_time_decides_without_a_number_of_runs(
    torchtract: Torchtract, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(seconds: float) -> int:
        monkeypatch.setattr("torchtract.cli.bench.SECONDS", seconds)
        result = torchtract("bench", "--json", "--set", "B=1", model)
        return int(json.loads(result.stdout)["runs"])

    assert runs(0.0) == 5  # the fewest that a median is worth taking of
    assert runs(0.2) > 5


def test_free_symbols(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("bench", model)

    assert result.exit_code == 1
    assert "Expected concrete shape, found: B,4,F32" in result.stderr


def test_inputs_that_fill_no_memory(torchtract: Torchtract, model: Path) -> None:
    for size in (10**12, 2**62):
        result = torchtract("bench", "--set", f"B={size}", model)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: input x: {size},4,F32: ")


def test_recorded_inputs_that_do_not_fit(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    recorded = record("in.npz", x=inputs["x"])

    result = torchtract("bench", "--input", recorded, model)

    assert result.exit_code == 1
    assert "input ids: missing" in result.stderr
