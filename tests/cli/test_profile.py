from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Record, Torchtract


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchtract.cli.profile.SECONDS", 0.05)


def test_random_inputs(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("profile", "--set", "B=3", model)

    assert result.exit_code == 0
    assert "per run" in result.stdout
    for part in ("by operator", "by module", "by node", "encoder.layer", "Tanh"):
        assert part in result.stdout


def test_recorded_inputs_bind_symbols(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    recorded = record("in.npz", **inputs)

    data = json.loads(torchtract("profile", "--json", "--input", recorded, model).stdout)

    assert data["entire"] > 0
    assert data["iterations"] >= 1
    assert {node["op"] for node in data["nodes"]} >= {"Tanh"}
    assert {module["name"] for module in data["by_module"]} >= {"encoder.layer"}


def test_top_cuts_each_table(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("profile", "--set", "B=3", "--top", "1", model)

    _, *tables = result.stdout.split("\n\n")
    assert [len(table.strip().splitlines()) for table in tables] == [3, 3, 3]  # title, heads, row
    assert all("more not shown" in table for table in tables)


def test_free_symbols(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("profile", model)

    assert result.exit_code == 1
    assert "Expected concrete shape, found: B,4,F32" in result.stderr
    assert "--set" in result.stderr
    assert "--input" in result.stderr


@pytest.mark.parametrize("count", ["0", "-1", "x"])
@pytest.mark.parametrize("option", ["--top", "--threads"])
def test_bad_count(torchtract: Torchtract, model: Path, option: str, count: str) -> None:
    result = torchtract("profile", "--set", "B=3", option, count, model)

    assert result.exit_code == 2
    assert option in result.stderr
