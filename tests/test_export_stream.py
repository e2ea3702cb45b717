"""`check_stream` of an export: the file streams as it computes, or there is none."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from torchtract import StreamReport, TractNNEF, check_stream, export_model_to_nnef, load
from torchtract.check.compare import Comparison, compare
from torchtract.errors import (
    ConstantReferenceWarning,
    EngineError,
    MismatchError,
    PulseError,
    SymbolError,
    UnsupportedOpError,
)

AXES = {"x": {0: "B", 1: "S"}}


class Smoothed(nn.Module):
    """Ids or frames [B, S] to [B, S]: a window of three over what a layer makes of each."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.window = nn.Conv1d(4, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.window(self.layers(x).transpose(1, 2))
        return y.transpose(1, 2)


class FrameWise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear(x[..., None])
        return y


class Normalised(nn.Module):
    """Needs all frames at once."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.softmax(1)


def export(path: Path, module: nn.Module, *args: torch.Tensor, **target: Any) -> Path:
    torch.manual_seed(0)
    options = {"dynamic_axes": AXES, "check_stream": {"S": 4}, **target}
    return export_model_to_nnef(module.eval(), args, path / "m.nnef.tgz", TractNNEF(**options))


Seen = list[tuple[dict[str, Any], StreamReport]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What each stream check of an export was given, and its report."""
    checks: Seen = []

    def spy(model: Any, inputs: Any, **options: Any) -> StreamReport:
        report = check_stream(model, inputs, **options)
        checks.append((inputs, report))
        return report

    monkeypatch.setattr("torchtract.verify.check_stream", spy)
    return checks


def test_the_report_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "torchtract")
    path = export(tmp_path, Smoothed(FrameWise()), torch.rand(2, 9))
    io, stream = (record.getMessage() for record in caplog.records)
    assert "tract against PyTorch" in io
    assert "streams against the batch model (approximate)" in stream
    assert [p.name for p in tmp_path.iterdir()] == ["m.nnef.tgz"]
    assert load(path).pulse(S=4).delay == 1


def test_nothing_is_checked_unless_asked(tmp_path: Path, seen: Seen) -> None:
    export(tmp_path, Normalised(), torch.rand(2, 9), check_stream=None)
    assert not seen


def test_streams_are_checked_without_check_io_too(tmp_path: Path, seen: Seen) -> None:
    export(tmp_path, Smoothed(FrameWise()), torch.rand(2, 9), check_io=False)
    ((_, report),) = seen
    assert {0, 1, 3, 4, 5, 8, 9} <= {row.length for row in report.rows}
    assert max(row.length for row in report.rows) > 5 * 9
    assert all(row.frames == row.length for row in report.rows)


def test_ids_stay_ids(tmp_path: Path, seen: Seen) -> None:
    ids = torch.tensor([[900, 7, 31, 4, 999]])
    export(tmp_path, Smoothed(nn.Embedding(1000, 4)), ids)
    ((inputs, _),) = seen
    assert set(inputs["x"].flatten().tolist()) == set(ids.flatten().tolist())
    assert inputs["x"].shape[1] > 5 * 9


def test_ids_that_are_alike_are_warned_of(tmp_path: Path, seen: Seen) -> None:
    with pytest.warns(ConstantReferenceWarning, match="alike along S") as warning:
        export(tmp_path, Smoothed(nn.Embedding(1000, 4)), torch.full((1, 5), 7))
    assert warning[0].filename == __file__
    assert set(seen[0][0]["x"].flatten().tolist()) == {7}


@pytest.mark.parametrize(
    "example", [torch.zeros(2, 9), torch.rand(2, 1)], ids=["one_value", "one_frame"]
)
def test_an_example_whose_frames_are_alike_is_replaced(
    tmp_path: Path, seen: Seen, example: torch.Tensor
) -> None:
    export(tmp_path, Smoothed(FrameWise()), example)
    ((inputs, report),) = seen
    assert not inputs
    assert len(report.rows) > 9


def test_a_mask_that_never_changes_stays_beside_frames_that_do(tmp_path: Path, seen: Seen) -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return x * mask

    axes = {"x": AXES["x"], "mask": AXES["x"]}
    export(tmp_path, Masked(), torch.rand(2, 9), torch.ones(2, 9), dynamic_axes=axes)
    ((inputs, _),) = seen
    assert inputs["mask"].min() == inputs["mask"].max() == 1
    assert inputs["x"].min() != inputs["x"].max()


def test_lengths_that_the_assertions_allow_are_found(tmp_path: Path, seen: Seen) -> None:
    axes = {"x": {0: "B", 1: torch.export.Dim("S", min=500, max=700)}}
    export(tmp_path, Smoothed(FrameWise()), torch.rand(2, 600), dynamic_axes=axes)
    ((_, report),) = seen
    assert {row.length for row in report.rows} == {600}
    assert report.refused


def test_a_model_that_cannot_stream_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(PulseError, match=r"^S=4: .*softmax"):
        export(tmp_path, Normalised(), torch.rand(2, 9))
    assert not list(tmp_path.iterdir())


def test_a_stream_that_differs_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off_by_one_frame(actual: Any, expected: Any, tolerance: Any) -> Comparison:
        return compare(np.roll(actual, 1, axis=1), expected, tolerance)

    monkeypatch.setattr("torchtract.check.stream.compare", off_by_one_frame)
    with pytest.raises(MismatchError, match=r"S=\d+ in chunks of .*output output differs"):
        export(tmp_path, Smoothed(FrameWise()), torch.rand(2, 9))
    assert not list(tmp_path.iterdir())


def test_the_file_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "m.nnef.tgz").write_text("older")
    with pytest.raises(PulseError):
        export(tmp_path, Normalised(), torch.rand(2, 9))
    assert (tmp_path / "m.nnef.tgz").read_text() == "older"


def test_the_tolerance_is_that_of_check_io(tmp_path: Path, seen: Seen) -> None:
    export(tmp_path, Smoothed(FrameWise()), torch.rand(2, 9), check_io_tolerance="very")
    assert seen[0][1].tolerance == "very"


@pytest.mark.parametrize(
    ("pulse", "error", "message"),
    [
        ({}, PulseError, "one symbol streams"),
        ({"S": 4, "B": 2}, PulseError, r"^check_stream={'S': 4, 'B': 2}: .*one symbol streams"),
        ("S=8", PulseError, "such as {'S': 8}"),
        ({"S": 0}, PulseError, "at least one frame"),
        ({"S": -8}, PulseError, "at least one frame"),
        ({"S": 2.0}, PulseError, "2.0 is no pulse"),
        ({"S": True}, PulseError, "True is no pulse"),
        ({"S": "8"}, PulseError, "'8' is no pulse"),
        ({"T": 8}, SymbolError, r"'T' can't stream, .* dynamic_axes \(B, S\)"),
        ({0: 8}, SymbolError, "0 can't stream"),
    ],
    ids=str,
)
def test_refuses_what_is_no_pulse_before_any_work(
    pulse: Any, error: type[EngineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        TractNNEF(dynamic_axes=AXES, check_stream=pulse)


def test_a_symbol_needs_a_dynamic_axis() -> None:
    with pytest.raises(SymbolError, match="which has none"):
        TractNNEF(check_stream={"S": 8})
    fixed = dataclasses.replace(TractNNEF(), dynamic_axes={"x": {0: torch.export.Dim("B")}})
    with pytest.raises(SymbolError, match=r"dynamic_axes \(B\)"):
        dataclasses.replace(fixed, check_stream={"S": 8})


def test_what_cannot_be_exported_is_told_first(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = torch.bernoulli(x).softmax(1)
            return y

    with pytest.raises(UnsupportedOpError):
        export(tmp_path, Odd(), torch.rand(2, 9))


def test_a_pulse_that_does_not_fit_leaves_no_file(tmp_path: Path) -> None:
    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.window = nn.Conv1d(1, 1, 2, stride=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.window(x[:, None])
            return y

    with pytest.raises(PulseError, match="multiples of 2 do"):
        export(tmp_path, Halved(), torch.rand(2, 9), check_stream={"S": 3})
    assert not list(tmp_path.iterdir())
