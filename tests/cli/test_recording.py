"""What ``stream`` reads: audio and arrays, and what it refuses of them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import (
    ENCODER,
    MIXER,
    SAMPLES,
    Record,
    Torchtract,
    WriteGraph,
    WriteWav,
    arrays_of,
    facts,
)


@pytest.mark.parametrize(
    ("width", "values", "expected"),
    [
        (1, [-128, 0, 64, 127], [-1, 0, 0.5, 0.9921875]),
        (2, [-(2**15), 0, 2**14, 2**15 - 1], [-1, 0, 0.5, 0.999969482421875]),
        (3, [-(2**23), 0, 2**22, 2**23 - 2**3], [-1, 0, 0.5, 0.99999904632568359375]),
        (4, [-(2**31), 0, 2**30, 2**31 - 2**11], [-1, 0, 0.5, 0.99999904632568359375]),
    ],
)
def test_whole_numbers_of_any_size_become_numbers_up_to_one(
    torchtract: Torchtract,
    graph: WriteGraph,
    wav: WriteWav,
    width: int,
    values: list[int],
    expected: list[float],
) -> None:
    same = graph(re.sub("y = .*", "y = audio * 1.0;", ENCODER))
    written = same.with_name("out.npz")

    result = torchtract("stream", same, wav("in.wav", values, width), "S=2", "-o", written)

    assert result.exit_code == 0, result.output
    assert arrays_of(written)["y"].tolist() == [[expected]]


@pytest.mark.parametrize(
    ("shape", "channels", "out"),
    [
        ("B, S", 1, (1, 9)),
        ("S", 1, (9,)),
        ("S, 1", 1, (9, 1)),
        ("B, 2, S", 2, (1, 2, 9)),
        ("B, S, 2", 2, (1, 9, 2)),
        ("2, 1, S", 2, (2, 1, 9)),
    ],
)
def test_channels_go_to_their_axis(
    torchtract: Torchtract,
    graph: WriteGraph,
    wav: WriteWav,
    shape: str,
    channels: int,
    out: tuple[int, ...],
) -> None:
    text = ENCODER.replace("[B, 1, S]", f"[{shape}]")
    same = graph(re.sub("y = .*", "y = audio * 32768.0;", text))
    samples = np.arange(9 * channels).reshape(channels, 9)
    written = same.with_name("out.npz")

    result = torchtract("stream", same, wav("in.wav", samples), "S=4", "-o", written)

    assert result.exit_code == 0, result.output
    y = arrays_of(written)["y"]
    assert y.shape == out
    np.testing.assert_array_equal(np.moveaxis(y, out.index(9), -1).reshape(channels, 9), samples)


def test_samples_of_a_finer_input_are_counted_by_the_symbol(
    torchtract: Torchtract, graph: WriteGraph, wav: WriteWav
) -> None:
    finer = graph(re.sub("y = .*", "y = audio * 1.0;", ENCODER.replace(", S]", ", 160*S]")))
    audio = wav("in.wav", SAMPLES[:960])

    data = json.loads(torchtract("stream", finer, audio, "S=2", "--json").stdout)
    ragged = torchtract("stream", finer, wav("ragged.wav", SAMPLES[:961]), "S=2")

    assert (data["frames_in"], data["rate"], data["seconds"]) == (6, 100, 0.06)
    assert data["frames_out"] == {"y": 960}
    assert ragged.exit_code == 1
    assert "axis 2 has 961 frames, which is no multiple of 160" in ragged.stderr


def test_a_pipe_that_does_not_know_its_length(
    torchtract: Torchtract, pulsed: Path, wav: WriteWav
) -> None:
    audio = wav("in.wav", SAMPLES)
    data = bytearray(audio.read_bytes())
    for unknown in (0xFFFFFFFF, 0x7FFFF024):
        data[4:8] = data[40:44] = unknown.to_bytes(4, "little")
        audio.write_bytes(data)

        result = torchtract("stream", pulsed, audio)

        assert result.exit_code == 0, result.output
        assert facts(result.stdout)["in"] == "1003 frames, 0.063 s"


@pytest.mark.parametrize("length", [0, 3, 20, 30, 43, 500])
def test_a_wav_file_that_is_cut_off(
    torchtract: Torchtract, pulsed: Path, wav: WriteWav, length: int
) -> None:
    audio = wav("in.wav", SAMPLES)
    audio.write_bytes(audio.read_bytes()[:length])

    result = torchtract("stream", pulsed, audio, "-o", pulsed.with_name("out.npz"))

    assert result.exit_code == 1
    assert re.match(
        r"error: .*in\.wav: (the file is cut off|can't be read as audio)", result.stderr
    )
    assert length < 8 or f"{length} of 2050 bytes are there" in result.stderr
    assert not pulsed.with_name("out.npz").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.wav"], r"missing\.wav: No such file"),
        (["text.wav"], r"text\.wav: can't be read as audio: Format not recognised\. Give a WAV"),
        (["stereo.wav"], r"audio of 2 channel.* takes 1 value"),
        (["in.wav", "--rate", "8000"], "has 16000 frames in a second, and --rate says 8000; resa"),
        (["in.wav", "S=8"], "the model is pulsed already"),
        (["in.wav", "--input", "in.npz"], r"in\.npz: audio is in in\.wav too"),
        (["in.wav", "--input", "names.npz"], "input x: unknown, the model takes audio"),
        (["names.npz"], "input x: unknown, the model takes audio"),
        (["none.npz"], "input audio: missing, there are no arrays; the model takes audio"),
        (["cut.npz"], r"cut\.npz: can't be read as an \.npz file"),
        (["rank.npz"], r"input audio: B,1,S,F32: the array has the shape \[9\]"),
        (["type.npz"], "the dtype must be float32"),
        (["in.wav", "-o", "missing/out.npz"], "out.npz: No such file"),
    ],
    ids=str,
)
def test_refuses_recordings(
    torchtract: Torchtract,
    pulsed: Path,
    record: Record,
    wav: WriteWav,
    args: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pulsed.parent)
    wav("in.wav", SAMPLES)
    wav("stereo.wav", [SAMPLES, SAMPLES])
    Path("text.wav").write_text("no audio at all")
    whole = record("in.npz", audio=np.ones((1, 1, 9), np.float32)).read_bytes()
    Path("cut.npz").write_bytes(whole[:100])
    record("none.npz")
    record("names.npz", x=np.ones(3, np.float32))
    record("rank.npz", audio=np.ones(9, np.float32))
    record("type.npz", audio=np.ones((1, 1, 9)))

    result = torchtract("stream", pulsed, *args)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert re.search(message, result.stderr), result.stderr
    assert result.stdout == ""


def test_audio_goes_to_one_input_of_floating_point_numbers(
    torchtract: Torchtract, graph: WriteGraph, wav: WriteWav
) -> None:
    audio = wav("in.wav", SAMPLES)
    whole = graph(re.sub("y = .*", "y = audio;", ENCODER.replace("'f32'", "'i64'")), "whole")

    for model, message in (
        (graph(MIXER), "of this model x, y stream; give an .npz file with an array for each"),
        (whole, "input audio: B,1,S,I64 takes int64; give an .npz file"),
    ):
        result = torchtract("stream", model, audio, "S=4")
        assert result.exit_code == 1
        assert message in result.stderr


def test_inputs_of_different_lengths(
    torchtract: Torchtract, graph: WriteGraph, record: Record
) -> None:
    x, y = np.ones((7, 3), np.float32), np.ones((1, 12), np.float32)
    recorded = record("in.npz", x=x, y=y, gain=np.ones(1, np.float32))

    result = torchtract("stream", graph(MIXER), recorded, "S=2")

    assert result.exit_code == 1
    assert "inputs of different lengths: x S=7, y S=6" in result.stderr


def test_without_soundfile_the_way_out_is_named(
    torchtract: Torchtract, pulsed: Path, wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)

    result = torchtract("stream", pulsed, wav("in.wav", SAMPLES))

    assert result.exit_code == 1
    assert "pip install 'torchtract[audio]'" in result.stderr
