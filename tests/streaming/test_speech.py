"""A speech model with a bidirectional RNN: refused, or pulsed as tract's own tutorial has it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor, nn

from harness import export
from torchtract import Model, PulsedModel, check_stream, load
from torchtract.errors import MismatchError, PulseError, UnequalStreamWarning


class CustomDeepSpeech(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Sequential(nn.Conv1d(8, 12, 3, 2), nn.ReLU(), nn.Conv1d(12, 12, 5))
        self.maxpool = nn.MaxPool1d(2)
        self.deepspeech = torchaudio.models.DeepSpeech(12, n_hidden=16, n_class=5)

    def forward(self, melbank: Tensor) -> Tensor:
        x = self.maxpool(self.pre(melbank.transpose(1, 2))).transpose(1, 2)
        letters: Tensor = self.deepspeech(x.unsqueeze(1))
        return letters


@pytest.fixture(scope="module")
def batch() -> Model:
    torch.manual_seed(0)
    return export(
        CustomDeepSpeech(),
        torch.rand(2, 100, 8),
        dynamic_axes={"melbank": {0: "B", 1: "S"}},
        input_names=["melbank"],
        output_names=["output"],
    )


@pytest.fixture(scope="module")
def path(batch: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "custom_deepspeech_pulse8.nnef.tgz"
    with pytest.warns(UnequalStreamWarning, match=r"layer deepspeech\.bi_rnn \(Scan "):
        batch.pulse(S=8, allow_unequal=True).save(path)
    return path


def test_the_backward_rnn_is_to_blame_and_nothing_else(batch: Model) -> None:
    with pytest.raises(PulseError, match=r"^S=8: layer deepspeech\.bi_rnn \(Scan "):
        batch.pulse(S=8)
    with pytest.warns(UnequalStreamWarning):
        assert len(batch.pulse(S=8, allow_unequal=True).unequal) == 1


def test_the_file_is_what_tract_s_tutorial_has(path: Path) -> None:
    with tarfile.open(path) as tar:
        member = tar.extractfile("graph.nnef")
        assert member is not None
        graph = member.read().decode()
    assert "extension tract_registry tract_pulse;" in graph
    assert "= tract_pulse_delay(" in graph
    properties = load(path).properties
    assert {"pulse.delay", "pulse.input_axes", "pulse.output_axes"} <= properties.keys()
    assert "layer deepspeech.bi_rnn" in properties["torchtract.pulse.unequal"][0]


def test_a_check_finds_the_rnn(batch: Model, path: Path) -> None:
    with pytest.raises(MismatchError, match=r"first layer .* deepspeech\.bi_rnn \(Scan") as found:
        check_stream(batch, pulsed=load(path))
    assert found.value.module == "deepspeech.bi_rnn"


def test_tract_itself_streams_the_file(path: Path) -> None:
    tract = pytest.importorskip("tract", reason="needs the packages of the group bench")
    reader = tract.nnef().with_tract_extra().with_pulse()
    model = reader.load(str(path))
    model.transform(tract.SetSymbols({"B": 1}))
    runnable = model.into_runnable()
    (delay,) = runnable.property("pulse.delay").to_numpy()
    melbank = np.random.default_rng(0).standard_normal((1, 96, 8)).astype(np.float32)

    state = runnable.spawn_state()
    pulses = [state.run([melbank[:, at : at + 8]])[0].to_numpy() for at in range(0, 96, 8)]
    ours = streamed(path, melbank)

    theirs = np.concatenate(pulses, axis=1)[:, delay:]
    assert theirs.shape[1] > 12
    assert np.ptp(theirs) > 0.1
    np.testing.assert_allclose(ours[:, : theirs.shape[1]], theirs, rtol=1e-5, atol=1e-6)


def streamed(path: Path, melbank: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    pulsed = load(path)
    assert isinstance(pulsed, PulsedModel)
    stream = pulsed.compile().stream()
    return np.concatenate([stream.push(melbank), stream.flush()], axis=1)
