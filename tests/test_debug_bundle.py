"""The debug bundle: written when a check fails and not otherwise, and read again."""

from __future__ import annotations

import gzip
import io
import json
import logging
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import Lower
from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.debug_bundle import read_debug_bundle
from torchtract.errors import EngineError, FormatError, LoadError, MismatchError, RunError
from torchtract.lower import Builder, Value

aten = torch.ops.aten

PARTS = {
    *("inputs.npz", "expected.npz", "actual.npz", "program.txt", "graph.nnef"),
    *("report.txt", "report.json", "versions.txt"),
}


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, file: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tanh(self.linear(file)), y + 1


@pytest.fixture
def arguments() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(3, 4), torch.arange(5)


def exported(args: tuple[torch.Tensor, ...], folder: Path, name: str = "model.nnef.tgz") -> None:
    export_model_to_nnef(
        Scaled().eval(),
        args,
        folder / name,
        TractNNEF(dynamic_axes={"file": {0: "B"}}),
        debug_bundle_path=folder / "debug.tgz",
    )


def plus_one(b: Builder, right: Value) -> Value:
    return b.binary("add", right, b.scalar(1, right.dtype))


def parts_of(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as archive:
        files = {name: archive.extractfile(name) for name in archive.getnames()}
        return {name: file.read() for name, file in files.items() if file is not None}


def rewritten(bundle: Path, parts: Mapping[str, bytes]) -> None:
    with tarfile.open(bundle, "w:gz") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("model.nnef.tgz", "model.nnef.tgz"),
        ("model.nnef.tar", "model.nnef.tar"),
        ("model", "model.nnef.tar"),
    ],
)
def test_everything_about_a_mismatch_is_in_it(
    lower_wrongly: Lower, arguments: Any, tmp_path: Path, name: str, member: str
) -> None:
    lower_wrongly(aten.tanh.default, plus_one)

    with pytest.raises(MismatchError) as error:
        exported(arguments, tmp_path, name)

    assert [path.name for path in tmp_path.iterdir()] == ["debug.tgz"]
    parts = parts_of(tmp_path / "debug.tgz")
    assert parts.keys() == PARTS | {member}
    assert str(error.value) in parts["report.txt"].decode()
    assert "tract 0.23.9" in parts["versions.txt"].decode()
    assert "torch.ops.aten.tanh.default" in parts["program.txt"].decode()
    assert "tract_core_external(shape = [B, 4]" in parts["graph.nnef"].decode()
    report = json.loads(parts["report.json"])
    assert (report["error"], report["message"]) == ("MismatchError", str(error.value))
    assert (report["sizes"], report["tolerance"]) == ({"B": 3}, "approximate")
    assert report["divergence"]["operation"] == "aten.tanh.default"
    assert [row["output"] for row in report["rows"]] == ["output_0"]
    bundle = read_debug_bundle(tmp_path / "debug.tgz")
    np.testing.assert_array_equal(bundle.inputs["file"], arguments[0])
    np.testing.assert_array_equal(bundle.expected["output_1"], arguments[1] + 1)
    actual = load(bundle.model).compile().run(bundle.inputs)
    assert np.abs(actual["output_0"] - bundle.expected["output_0"] - 1).max() < 1e-5
    with np.load(io.BytesIO(parts["actual.npz"])) as recorded:
        np.testing.assert_array_equal(recorded["output_0"], actual["output_0"])


def test_what_fails_at_another_size_is_recorded_at_that_size(
    lower_wrongly: Lower, arguments: Any, tmp_path: Path
) -> None:
    def right_at_three(b: Builder, right: Value) -> Value:
        size = b.cast(b.scalar(right.shape[0], torch.int64), torch.float32)
        return b.binary("add", right, b.binary("sub", size, b.scalar(3, torch.float32)))

    lower_wrongly(aten.tanh.default, right_at_three)

    with pytest.raises(MismatchError):
        exported(arguments, tmp_path)

    bundle = read_debug_bundle(tmp_path / "debug.tgz")
    assert bundle.report["sizes"] == {"B": 1}
    assert bundle.inputs["file"].shape == (1, 4)
    assert bundle.expected["output_0"].shape == (1, 2)
    assert len(bundle.report["rows"]) == 3  # both outputs of the first size, then the wrong one


@pytest.mark.parametrize("stage", ["load", "compile", "run"])
def test_a_model_that_tract_refuses_is_kept_too(
    lower_wrongly: Lower,
    arguments: Any,
    tmp_path: Path,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if stage == "run":
        lower_wrongly(aten.tanh.default, lambda b, y: b.emit("tract_core_broadcast", y, [7, 2]))
    elif stage == "load":
        lower_wrongly(aten.tanh.default, lambda b, y: b.emit("tract_core_broadcast", y, [-7, 2]))
    else:

        def refuse(_model: Any) -> None:
            raise EngineError("optimising: no way")

        monkeypatch.setattr("torchtract.runtime.Model.compile", refuse)

    with pytest.raises(EngineError) as error:
        exported(arguments, tmp_path)

    assert not isinstance(error.value, MismatchError)
    assert "The first operation that tract can't compute is aten." in str(error.value)
    assert ".torchtract-" not in str(error.value)
    if stage == "load":
        assert str(error.value).startswith(f"{tmp_path / 'model.nnef.tgz'}: ")
    bundle = read_debug_bundle(tmp_path / "debug.tgz")
    assert bundle.report["error"] == type(error.value).__name__
    assert bundle.report["message"] == str(error.value)
    assert bundle.inputs["file"].shape == (3, 4)
    assert set(bundle.expected) == {"output_0", "output_1"}
    parts = parts_of(tmp_path / "debug.tgz")
    with np.load(io.BytesIO(parts["actual.npz"])) as recorded:
        assert not recorded.files


@pytest.mark.parametrize("path", ["debug", "debug.zip", "debug.tar", "missing/debug.tgz"])
def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    arguments: Any, tmp_path: Path, path: str
) -> None:
    with pytest.raises(FormatError, match=path):
        export_model_to_nnef(
            Scaled().eval(), arguments, tmp_path / "m.nnef.tgz", debug_bundle_path=tmp_path / path
        )

    assert not list(tmp_path.iterdir())


def test_a_bundle_that_cannot_be_written_does_not_hide_the_mismatch(
    lower_wrongly: Lower,
    arguments: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    lower_wrongly(aten.tanh.default, plus_one)
    monkeypatch.setattr("torchtract.debug_bundle.save_npz", full)

    with caplog.at_level(logging.ERROR), pytest.raises(MismatchError):
        exported(arguments, tmp_path)

    assert "debug_bundle_path" in caplog.text
    assert "No space left on device" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.fixture
def bundle(lower_wrongly: Lower, arguments: Any, tmp_path: Path) -> Path:
    lower_wrongly(aten.tanh.default, plus_one)
    with pytest.raises(MismatchError):
        exported(arguments, tmp_path)
    return tmp_path / "debug.tgz"


@pytest.mark.parametrize("missing", ["model.nnef.tgz", "inputs.npz", "expected.npz", "report.json"])
def test_a_missing_part_is_named(bundle: Path, missing: str) -> None:
    rewritten(bundle, {k: v for k, v in parts_of(bundle).items() if k != missing})

    with pytest.raises(LoadError, match=f"{bundle}: .*holds no {missing.split('.')[0]}"):
        read_debug_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("report.json", b"{", LoadError),
        ("report.json", b"[]", LoadError),
        ("report.json", b"{}", LoadError),
        ("report.json", b'{"tolerance": "loose"}', LoadError),
        ("report.json", b'{"tolerance": []}', LoadError),
        ("report.json", b"\xff", LoadError),
        ("inputs.npz", b"PK", RunError),
    ],
)
def test_a_damaged_part_is_named(
    bundle: Path, name: str, content: bytes, error: type[Exception]
) -> None:
    rewritten(bundle, parts_of(bundle) | {name: content})

    with pytest.raises(error, match=str(bundle)):
        read_debug_bundle(bundle)


def test_a_bundle_cut_short_is_refused(bundle: Path) -> None:
    whole = bundle.read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        bundle.write_bytes(whole[:length])
        with pytest.raises((LoadError, RunError), match=str(bundle)):
            read_debug_bundle(bundle)


def test_a_bundle_with_a_flipped_byte_is_refused(bundle: Path) -> None:
    whole = bytearray(bundle.read_bytes())
    for place in range(20, len(whole), len(whole) // 40):  # after the header's name and time
        whole[place] ^= 0xFF
        bundle.write_bytes(whole)
        whole[place] ^= 0xFF
        with pytest.raises((LoadError, RunError), match=str(bundle)):
            read_debug_bundle(bundle)


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "debug.tgz"
    for content in (b"", b"text", gzip.compress(b"no archive"), gzip.compress(b"")):
        path.write_bytes(content)
        with pytest.raises(LoadError, match=str(path)):
            read_debug_bundle(path)
    with pytest.raises(FileNotFoundError):
        read_debug_bundle(tmp_path / "missing.tgz")
