from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from cli.conftest import Record, Torchtract
from torchtract.check.compare import LEVELS
from torchtract.cli.check import Level


def strict_json(text: str) -> Any:
    """Parses JSON and refuses what only Python takes for it, such as NaN."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_levels_are_those_of_the_comparison() -> None:
    assert [level.value for level in Level] == list(LEVELS)


def test_equal(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    apart = [record("in.npz", **inputs), record("out.npz", **outputs)]
    together = [record("both.npz", **inputs, **outputs)]

    for recordings in (apart, together):
        result = torchtract("check", model, *recordings)
        assert result.exit_code == 0
        assert [line.split()[:2] for line in result.stdout.splitlines()[2:]] == [
            ["y", "ok"],
            ["next", "ok"],
        ]
        assert result.stderr == ""


def test_different(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    outputs["y"][1, 2] += 0.01
    recording = record("both.npz", **inputs, **outputs)

    result = torchtract("check", model, recording)

    assert result.exit_code == 1
    assert "differs" in result.stdout
    assert result.stderr.startswith("error: output y: 8.33% of the elements differ")
    assert "[1, 2]" in result.stderr
    assert torchtract("check", model, recording, "--tolerance", "very").exit_code == 0
    assert torchtract("check", model, recording, "--tolerance", "close").exit_code == 1


def test_whole_numbers_are_compared_exactly(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    outputs["next"][0] += 1

    result = torchtract(
        "check", model, record("both.npz", **inputs, **outputs), "--tolerance", "ultra"
    )

    assert result.exit_code == 1
    assert "output next" in result.stderr


def test_other_type_and_shape(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    outputs["y"] = outputs["y"].astype(np.float64)
    outputs["next"] = outputs["next"][:2]

    result = torchtract("check", model, record("both.npz", **inputs, **outputs))

    assert result.exit_code == 1
    assert "output y: computed 3,4,F32, recorded 3,4,F64 (and 1 more)" in result.stderr


def test_json(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    outputs["y"][0, 0] = np.inf
    recording = record("both.npz", **inputs, **outputs)

    result = torchtract("check", "--json", model, recording)

    data = strict_json(result.stdout)
    assert result.exit_code == 1
    assert (data["tolerance"], data["ok"]) == ("approximate", False)
    y, following = data["outputs"]
    assert (y["output"], y["ok"], y["index"], y["max_abs"]) == ("y", False, [0, 0], None)
    assert (following["output"], following["ok"], following["max_abs"]) == ("next", True, 0)


def test_constant_recording_shows_nothing(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    inputs["x"] = np.zeros_like(inputs["x"])

    result = torchtract(
        "check", model, record("both.npz", **inputs, y=inputs["x"], next=inputs["ids"] + 1)
    )

    assert result.exit_code == 0
    assert "warning: the recorded output y has one and the same value everywhere" in result.stderr


def test_recordings_that_do_not_fit(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    given, wanted = record("in.npz", **inputs), record("out.npz", **outputs)
    extra = record("extra.npz", extra=inputs["x"])

    for recordings, named in {
        (given,): "y: this output is not recorded",
        (wanted,): "input x: missing",
        (given, wanted, wanted): "y is in another file too",
        (given, wanted, extra): "input extra: unknown",
    }.items():
        result = torchtract("check", model, *recordings)
        assert result.exit_code == 1
        assert named in result.stderr


@pytest.mark.parametrize("args", [[], ["both.npz", "--tolerance", "loose"]])
def test_usage(torchtract: Torchtract, model: Path, args: list[str]) -> None:
    result = torchtract("check", model, *args)

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
