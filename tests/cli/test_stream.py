from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from cli.conftest import MIXER, SAMPLES, Record, Torchtract, WriteGraph, WriteWav, arrays_of, facts
from torchtract import load


def test_a_wav_file_gives_what_the_batch_model_gives(
    torchtract: Torchtract, encoder: Path, pulsed: Path, wav: WriteWav
) -> None:
    audio, written = wav("in.wav", SAMPLES), encoder.with_name("out.npz")
    expected = load(encoder).compile()((SAMPLES / 32768).astype(np.float32)[None, None])

    for args in ([pulsed, audio], [encoder, audio, "S=8"], [encoder, "S=8", audio]):
        for options in ([], ["--chunk", "7"], ["--chunk", "5000"], ["--set", "B=1"]):
            result = torchtract("stream", *args, *options, "-o", written)
            assert (result.exit_code, result.stderr) == (0, "")
            found = arrays_of(written)
            assert set(found) == {"y"}
            assert found["y"].shape == (1, 1, 502)
            np.testing.assert_allclose(found["y"], expected, atol=1e-6)
            written.unlink()


def test_tells_frames_times_and_outputs(
    torchtract: Torchtract, pulsed: Path, wav: WriteWav
) -> None:
    result = torchtract("stream", pulsed, wav("in.wav", SAMPLES), "--chunk", "20")

    assert result.stdout.startswith("in.wav through pulsed.nnef.tgz, S=8\n\n")
    found = facts(result.stdout)
    assert found["in"] == "1003 frames, 0.063 s"
    assert found["out, y"] == "502 frames"
    assert found["latency, at most"] == "9 frames, 0.562 ms"
    assert 0 < float(found["real-time factor"]) < 100
    pulses = [float(found[f"time per pulse, {q}"].split()[0]) for q in ("minimum", "median", "p99")]
    assert 0 <= pulses[0] <= pulses[1] <= pulses[2]
    assert "1,1,502,F32" in result.stdout.splitlines()[-1]
    assert "late, at most" not in found
    assert result.stdout.isascii()


def test_json(torchtract: Torchtract, pulsed: Path, wav: WriteWav) -> None:
    result = torchtract("stream", pulsed, wav("in.wav", SAMPLES), "--json")

    data = json.loads(result.stdout)
    assert data["frames_in"] == 1003
    assert data["frames_out"] == {"y": 502}
    assert (data["rate"], data["seconds"]) == (16000, pytest.approx(1003 / 16000))
    assert (data["latency"], data["latency_seconds"]) == (9, pytest.approx(9 / 16000))
    assert data["pulses"] == 1003 // 8
    assert data["computing_seconds"] >= data["pulses"] * data["pulse_seconds"]["minimum"] > 0
    factor = data["computing_seconds"] / data["seconds"]
    assert data["real_time_factor"] == pytest.approx(factor)
    assert data["late_seconds"] is None


def test_without_a_rate_nothing_is_told_in_seconds(
    torchtract: Torchtract, pulsed: Path, record: Record
) -> None:
    recorded = record("in.npz", audio=np.ones((2, 1, 3), np.float32))

    shown = facts(torchtract("stream", pulsed, recorded).stdout)
    data = json.loads(torchtract("stream", pulsed, recorded, "--json").stdout)
    timed = facts(torchtract("stream", pulsed, recorded, "--rate", "100").stdout)

    assert (shown["in"], shown["latency, at most"]) == ("3 frames", "9 frames")
    assert "real-time factor" not in shown
    assert "time per pulse, median" not in shown  # the stream is shorter than a pulse
    assert (data["seconds"], data["real_time_factor"], data["pulse_seconds"]) == (None,) * 3
    assert (timed["in"], timed["latency, at most"]) == ("3 frames, 0.030 s", "9 frames, 90.000 ms")


def test_several_inputs_come_from_npz_files(
    torchtract: Torchtract, graph: WriteGraph, record: Record
) -> None:
    mixer = graph(MIXER)
    x, y = np.arange(21.0, dtype=np.float32).reshape(7, 3), np.ones((1, 14), np.float32)
    gain = np.array([3.0], np.float32)
    written = mixer.with_name("out.npz")
    whole = record("whole.npz", x=x, y=y, gain=gain)
    parts = [record("in.npz", x=x, y=y), "--input", record("gain.npz", gain=gain)]

    for args in ([whole], parts):
        result = torchtract("stream", mixer, "S=2", *args, "-o", written)
        assert result.exit_code == 0, result.output
        found = arrays_of(written)
        np.testing.assert_array_equal(found["a"], x * 3)
        np.testing.assert_array_equal(found["b"], y * 3)
        np.testing.assert_array_equal(found["c"], [6])
        told = facts(result.stdout)
        assert (told["in"], told["out, a"], told["out, b"]) == (
            "7 frames",
            "7 frames",
            "14 frames",
        )
        assert "out, c" not in told


def test_realtime_keeps_to_the_clock(torchtract: Torchtract, pulsed: Path, wav: WriteWav) -> None:
    audio = wav("in.wav", SAMPLES[:800], rate=2000)

    started = perf_counter()
    result = torchtract("stream", pulsed, audio, "--realtime", "--chunk", "100", "--json")
    took = perf_counter() - started

    data = json.loads(result.stdout)
    assert took >= data["seconds"] == 0.4
    assert data["computing_seconds"] < 0.4
    assert data["late_seconds"] > 0


def test_a_stream_without_frames(torchtract: Torchtract, pulsed: Path, wav: WriteWav) -> None:
    written = pulsed.with_name("out.npz")

    result = torchtract("stream", pulsed, wav("none.wav", []), "-o", written, "--rate", "16000")

    assert result.exit_code == 0, result.output
    assert facts(result.stdout)["in"] == "0 frames, 0.000 s"
    assert arrays_of(written)["y"].shape == (1, 1, 0)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX terminal")
def test_a_terminal_shows_how_far_it_is(pulsed: Path, wav: WriteWav) -> None:
    import pty

    audio = wav("in.wav", SAMPLES[:800], rate=2000)
    program = "from torchtract.cli import main; main()"
    words = ["stream", str(pulsed), str(audio), "--realtime"]
    command = [sys.executable, "-c", program, *words]
    ours, its = pty.openpty()
    with subprocess.Popen(
        command, stdout=its, stderr=its, env={**os.environ, "TERM": "xterm"}
    ) as p:
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # what Linux says at the end
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)

    text = shown.decode()
    assert p.returncode == 0, text
    assert len(set(re.findall(r"(0\.\d) s, real-time factor", text))) >= 3
    _, erased, rest = text.rpartition("Streaming")[2].partition("\x1b[2K")
    assert erased
    assert "in.wav through" in rest


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], r"encoder.*: the model is not pulsed \(its symbols: B, S\); give a pulse"),
        (["S=3"], "multiples of 2 do"),
        (["T=8"], "no symbol is called T"),
        (["S=8,B=1"], "one symbol streams"),
        (["S=8", "--set", "B=2"], "audio of 1 channel.* takes 2 value"),
    ],
    ids=str,
)
def test_refuses_pulses(
    torchtract: Torchtract, encoder: Path, wav: WriteWav, args: list[str], message: str
) -> None:
    result = torchtract("stream", encoder, wav("in.wav", SAMPLES), *args)

    assert result.exit_code == 1
    assert re.search(f"^error: .*{message}", result.stderr), result.stderr


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["in.wav", "--chunk", "0"],
        ["in.wav", "--rate", "0"],
        ["in.wav", "--rate", "-16000"],
        ["in.wav", "--rate", "nan"],
        ["in.npz", "--realtime"],
        ["in.wav", "S=8", "B=2"],
        ["in.wav", "-o", "in.wav"],
    ],
    ids=str,
)
def test_usage(
    torchtract: Torchtract,
    pulsed: Path,
    wav: WriteWav,
    record: Record,
    args: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pulsed.parent)
    wav("in.wav", SAMPLES)
    record("in.npz", audio=np.ones((1, 1, 9), np.float32))

    result = torchtract("stream", pulsed, *args)

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
