from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.conftest import Record, Torchtract


def test_writes_outputs(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    recorded = record("in.npz", **inputs)
    written = recorded.with_name("out.npz")

    result = torchtract("run", model, recorded, "--output", written)

    assert result.exit_code == 0
    with np.load(written) as arrays:
        assert set(arrays) == {"y", "next"}
        np.testing.assert_allclose(arrays["y"], outputs["y"], rtol=1e-6)
        np.testing.assert_array_equal(arrays["next"], outputs["next"])


def test_sums_up_outputs(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    result = torchtract("run", model, record("in.npz", **inputs))

    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["next", "3,I64", "8", "9", "10"] in lines
    assert ["y", "3,4,F32", "-1.92806"] in [line[:3] for line in lines]


def test_an_output_may_have_any_name(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    graph = model / "graph.nnef"
    graph.write_text(re.sub(r"\by\b", "allow_pickle", graph.read_text()).replace("next", "file"))
    recorded = record("in.npz", **inputs)
    written = recorded.with_name("out.npz")

    assert torchtract("run", model, recorded, "-o", written).exit_code == 0

    with np.load(written) as arrays:
        assert set(arrays) == {"allow_pickle", "file"}


def test_an_older_output_is_replaced(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    written = record("out.npz", old=np.zeros(1))

    assert torchtract("run", model, record("in.npz", **inputs), "-o", written).exit_code == 0

    with np.load(written) as arrays:
        assert set(arrays) == {"y", "next"}


def test_never_writes_over_its_input(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any]
) -> None:
    recorded = record("in.npz", **inputs)
    linked = recorded.with_name("link.npz")
    linked.hardlink_to(recorded)
    before = recorded.read_bytes()

    for output in (recorded, linked, recorded.parent / "model" / ".." / "in.npz"):
        result = torchtract("run", model, recorded, "--output", output)
        assert result.exit_code == 2
        assert "--output" in result.stderr

    assert recorded.read_bytes() == before


def test_output_that_cannot_be_written(
    torchtract: Torchtract, model: Path, record: Record, inputs: dict[str, Any], tmp_path: Path
) -> None:
    recorded = record("in.npz", **inputs)

    result = torchtract("run", model, recorded, "--output", tmp_path / "missing" / "out.npz")

    assert result.exit_code == 1
    assert str(tmp_path / "missing" / "out.npz") in result.stderr


def test_nothing_stays_of_an_output_that_fails_midway(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = record("in.npz", **inputs)
    written = recorded.with_name("out.npz")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", fail)
    result = torchtract("run", model, recorded, "--output", written)

    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert not written.exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ids": None}, "input ids: missing"),
        ({"extra": np.zeros(1)}, "input extra: unknown"),
        ({"x": np.zeros((3, 4))}, "float64"),
        ({"x": np.zeros((3, 5), np.float32)}, "(3, 5)"),
        ({"x": np.zeros((2, 4), np.float32)}, "disagree about B"),
    ],
)
def test_inputs_that_do_not_fit(
    torchtract: Torchtract,
    model: Path,
    record: Record,
    inputs: dict[str, Any],
    change: dict[str, Any],
    named: str,
) -> None:
    changed = {name: array for name, array in {**inputs, **change}.items() if array is not None}

    result = torchtract("run", model, record("in.npz", **changed))

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
    assert result.stdout == ""


def test_no_inputs(torchtract: Torchtract, model: Path) -> None:
    result = torchtract("run", model)

    assert result.exit_code == 1
    assert "input x: missing" in result.stderr


def test_missing_npz(torchtract: Torchtract, model: Path, tmp_path: Path) -> None:
    result = torchtract("run", model, tmp_path / "in.npz")

    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'in.npz'}: No such file or directory\n"


def test_npz_that_is_none(torchtract: Torchtract, model: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    np.savez_compressed(good, x=np.arange(1000.0))
    whole = good.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "object.npz", x=np.array([None]))
    contents = {
        "empty": b"",
        "text": b"x = 1",
        "cut": whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "npy": (tmp_path / "one.npy").read_bytes(),
        "object": (tmp_path / "object.npz").read_bytes(),
    }

    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        result = torchtract("run", model, path)
        assert result.exit_code == 1, name
        assert result.stderr.startswith(f"error: {path}: can't be read as an .npz file"), name
