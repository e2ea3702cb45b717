"""Silero VAD beside the package that it comes from: probabilities, streams, segments."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import voice_activity
from torchtract import Model, PulsedModel, check_stream, load
from torchtract.errors import SymbolError
from vad.audio import SPEECH, Array, microphone, read, scene, speak, whole_frames
from vad.listening import Heard, listen
from vad.network import FRAME, RATE
from vad.onnx_model import OnnxVAD
from vad.picture import draw
from vad.segments import Segmenter

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")


@pytest.fixture(scope="module")
def audio() -> Array:
    return whole_frames(scene(read(SPEECH))[0])


@pytest.fixture(scope="module")
def model(audio: Array) -> Model:
    return voice_activity.export(audio)


@pytest.fixture(scope="module")
def timestamps() -> Any:
    """The package's own segments; importing it gives torch a single thread."""
    threads = torch.get_num_threads()
    import silero_vad

    torch.set_num_threads(threads)
    return silero_vad.get_speech_timestamps_from_probs


def noisy(audio: Array) -> Array:
    noise = np.random.default_rng(1).standard_normal(len(audio)).astype(np.float32)
    return (audio + 0.1 * noise).clip(-1, 1)


def test_equals_the_package_s_onnx_model(model: Model, audio: Array) -> None:
    sounds = np.stack([audio, noisy(audio), audio[::-1]])
    expected = np.stack([OnnxVAD().probabilities(sound) for sound in sounds])
    assert (expected.min(1) < 0.05).all()
    assert (expected.max(1) > 0.9).all()
    assert ((expected > 0.2) & (expected < 0.8)).sum() > 50

    np.testing.assert_allclose(model.compile()(sounds), expected, atol=1e-5)
    stream = model.pulse(S=FRAME).compile().stream()
    np.testing.assert_allclose(stream.push(sounds), expected, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 3])
def test_streams_as_the_batch_model_computes(model: Model, audio: Array, frames: int) -> None:
    inputs = {"audio": np.stack([audio, noisy(audio)])}
    lengths = [frames * FRAME, 30 * FRAME, 300 * FRAME]

    report = check_stream(model, inputs, lengths=lengths, S=frames * FRAME)

    assert max(row.frames for row in report.rows) == 300


def test_a_probability_comes_with_the_last_sample_of_its_frame(model: Model, audio: Array) -> None:
    pulsed = model.pulse(S=FRAME)
    stream = pulsed.compile().stream()

    assert (pulsed.delay, stream.latency) == (0, FRAME - 1)
    assert stream.push(audio[None, : FRAME - 1]).shape == (1, 0)
    assert stream.push(audio[None, FRAME - 1 : FRAME]).shape == (1, 1)


def test_a_saved_stream_is_the_same(model: Model, audio: Array, tmp_path: Path) -> None:
    path = tmp_path / "silero_vad_pulse.nnef.tgz"
    model.pulse(S=FRAME).save(path)
    saved = load(path)
    assert isinstance(saved, PulsedModel)

    check_stream(model, {"audio": audio[None]}, lengths=[40 * FRAME], pulsed=saved)


def test_half_a_frame_is_refused(model: Model, audio: Array) -> None:
    with pytest.raises(SymbolError, match="S=700 is not allowed"):
        model.compile()(audio[None, :700])
    stream = model.pulse(S=FRAME).compile().stream()
    stream.push(audio[None, :700])
    with pytest.raises(SymbolError, match="S=700 is not allowed"):
        stream.flush()


RUNS = st.tuples(st.sampled_from([0.0, 0.3, 0.34, 0.35, 0.4, 0.49, 0.5, 0.9]), st.integers(1, 12))


@given(runs=st.lists(RUNS, max_size=12), missing=st.integers(0, FRAME - 1))
def test_segments_are_the_package_s(
    timestamps: Any, runs: list[tuple[float, int]], missing: int
) -> None:
    probabilities = [probability for probability, frames in runs for _ in range(frames)]
    samples = max(len(probabilities) * FRAME - missing, 0)
    expected = timestamps(probabilities, audio_length_samples=samples)

    segmenter = Segmenter()
    found = segmenter.push(probabilities[:20]) + segmenter.push(probabilities[20:])
    found += segmenter.flush(samples)

    in_samples = [{"start": s.start * RATE, "end": s.end * RATE} for s in found]
    assert in_samples == [pytest.approx(segment) for segment in expected]
    assert not segmenter.in_speech


def heard(model: Model, audio: Array, paced: bool) -> tuple[Heard, list[bool]]:
    stream = model.pulse(S=FRAME).set(B=1).compile().stream()
    states: list[bool] = []
    found = asyncio.run(listen(stream, audio, lambda h: states.append(h.in_speech), paced=paced))
    return found, states


def test_hears_the_speech_and_not_the_other_sounds(model: Model, timestamps: Any) -> None:
    sound, others = scene(read(SPEECH))
    audio = whole_frames(sound)
    found, states = heard(model, audio, paced=False)

    expected = OnnxVAD().probabilities(audio)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    segments = timestamps(expected.tolist(), return_seconds=True, time_resolution=4)
    assert [(round(s.start, 4), round(s.end, 4)) for s in found.segments] == [
        (segment["start"], segment["end"]) for segment in segments
    ]
    assert len(segments) >= 2
    assert [other.what for other in others] == ["slam", "whistle"]
    for other in others:
        assert all(s.end < other.start or s.start > other.end for s in found.segments)
    assert set(states) == {True, False}
    assert found.seconds == len(audio) / RATE
    assert found.latencies == []


def test_a_microphone_keeps_to_the_time(model: Model, audio: Array) -> None:
    started = time.perf_counter()
    found, states = heard(model, audio[: 10 * FRAME], paced=True)

    assert time.perf_counter() - started >= 10 * FRAME / RATE
    assert len(found.latencies) == len(found.probabilities) == 10
    assert min(found.latencies) >= 0
    assert len(states) == 16
    assert "latency" in found.pace


def test_a_microphone_s_chunks_are_the_sound(audio: Array) -> None:
    async def chunks() -> list[Array]:
        return [chunk async for chunk in microphone(audio[:1000], None)]

    parts = asyncio.run(chunks())

    assert [len(part) for part in parts] == [320, 320, 320, 40]
    np.testing.assert_array_equal(np.concatenate(parts), audio[:1000])


def test_files_of_any_rate_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    times = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 440 * times)
    soundfile.write(path, np.stack([tone, np.zeros_like(tone)], 1), 44_100)

    samples = read(path)

    assert samples.shape == (RATE,)
    assert samples.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=1e-2)


def test_without_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="apt install espeak-ng"):
        speak("Hello")


def test_the_picture(audio: Array, tmp_path: Path) -> None:
    path = tmp_path / "new" / "picture.png"
    probabilities = OnnxVAD().probabilities(audio).tolist()
    segmenter = Segmenter()
    segments = segmenter.push(probabilities) + segmenter.flush(len(audio))

    draw(path, audio, probabilities, segments, scene(read(SPEECH))[1])

    with Image.open(path) as image:
        assert image.size == (1000, 420)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 16) or []}
    assert {(191, 227, 192), (76, 106, 146), (179, 38, 30)} <= colours


def command(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(voice_activity.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_listens_to_a_file(tmp_path: Path) -> None:
    path, plot = tmp_path / "short.wav", tmp_path / "short.png"
    soundfile.write(path, read(SPEECH)[: RATE + 100], RATE)

    done = command(path, "--fast", "--plot", plot)

    assert done.exit_code == 0, done.output
    assert plot.exists()


@pytest.mark.parametrize("content", [b"", b"no sound", np.zeros(0)])
def test_files_without_sound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | Array
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("none.wav")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        soundfile.write(path, content, RATE)

    done = command(path)

    assert done.exit_code == 2
    assert "none.wav" in done.output
    assert list(tmp_path.iterdir()) == [tmp_path / path]
