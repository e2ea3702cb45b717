"""Audio: files, speech made by espeak-ng, a scene around it, and a microphone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
import torchaudio

from vad.network import FRAME, RATE

__all__ = ["SPEECH", "Array", "Sound", "microphone", "read", "scene", "speak", "whole_frames"]

Array = npt.NDArray[np.float32]

SPEECH = Path(__file__).with_name("speech.ogg")
"""Two sentences, made with espeak-ng 1.51, voice en-us, for this example."""
CHUNK = RATE * 20 // 1000
"""Samples that a microphone gives at once: 20 ms."""


@dataclass(frozen=True)
class Sound:
    """Something in a scene that is no speech: what, and from when to when in seconds."""

    what: str
    start: float
    end: float


def read(path: Path) -> Array:
    """Samples [S] of a sound file, one channel, 16 kHz.

    Raises:
        soundfile.LibsndfileError: it is no such file.
        ValueError: it has no samples.
    """
    channels, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if not channels.size:
        raise ValueError(f"{path} has no samples")
    mono = torch.from_numpy(channels.mean(1))
    samples: Array = torchaudio.functional.resample(mono, rate, RATE).numpy()
    return samples


def speak(text: str) -> Array:
    """Samples [S] of espeak-ng reading a text.

    Raises:
        FileNotFoundError: there is no espeak-ng.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise FileNotFoundError("espeak-ng was not found: apt install espeak-ng")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([program, "-w", path, "--", text], check=True, timeout=60)
        return read(path)


def scene(speech: Array) -> tuple[Array, list[Sound]]:
    """Speech in a room with a fan, after a slam and before a whistle; the latter two as a list."""
    random = np.random.default_rng(0)
    slam = random.standard_normal(RATE // 2) * np.geomspace(0.5, 0.005, RATE // 2)
    whistle = 0.4 * np.sin(2 * np.pi * 880 * np.arange(RATE) / RATE)
    gap = np.zeros(RATE)
    parts: list[npt.NDArray[Any]] = [gap, slam, gap, speech, gap, whistle, gap]
    starts = (np.cumsum([0, *map(len, parts)]) / RATE).tolist()
    sounds = [Sound("slam", *starts[1:3]), Sound("whistle", *starts[5:7])]
    quiet = np.concatenate(parts)
    noisy = quiet + 0.004 * random.standard_normal(len(quiet))
    return noisy.clip(-1, 1).astype(np.float32), sounds


def whole_frames(audio: Array) -> Array:
    """The samples with zeros behind them, up to the end of a frame."""
    return np.pad(audio, (0, -len(audio) % FRAME))


async def microphone(audio: Array, started: float | None) -> AsyncIterator[Array]:
    """Gives samples [S] in chunks of 20 ms.

    Args:
        audio: what it hears.
        started: when it was switched on, as `time.perf_counter` has it: each chunk comes when its
            last sample has sounded. None for all chunks at once.
    """
    for at in range(0, len(audio), CHUNK):
        chunk = audio[at : at + CHUNK]
        if started is not None:
            sounded = started + (at + len(chunk)) / RATE
            while (wait := sounded - time.perf_counter()) > 0:  # a sleep may end early
                await asyncio.sleep(wait)
        yield chunk
