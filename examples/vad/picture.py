"""What was heard, as a picture: the wave, the probabilities, the segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vad.audio import Array, Sound
from vad.network import FRAME, RATE
from vad.segments import SILENCE_BELOW, SPEECH_FROM, Segment

__all__ = ["draw"]

_SPEECH, _WAVE, _LINE, _OTHER = "#bfe3c0", "#4c6a92", "#b3261e", "#8a6d00"
_STRIP = RATE // 100
"""Samples that share a column of the wave: 10 ms."""


def draw(
    path: Path,
    audio: Array,
    probabilities: Sequence[float],
    segments: Sequence[Segment],
    sounds: Sequence[Sound],
) -> None:
    """Writes a PNG. `sounds` are what there is besides speech."""
    figure, (wave, probability) = plt.subplots(
        2, 1, sharex=True, figsize=(10, 4.2), height_ratios=[3, 2], layout="constrained"
    )
    for axes in (wave, probability):
        for segment in segments:
            axes.axvspan(segment.start, segment.end, color=_SPEECH, linewidth=0)
        axes.spines[["top", "right"]].set_visible(False)

    strips = audio[: len(audio) // _STRIP * _STRIP].reshape(-1, _STRIP)
    times = (np.arange(len(strips)) + 0.5) * _STRIP / RATE
    wave.fill_between(times, strips.min(1), strips.max(1), color=_WAVE, linewidth=0.4)
    wave.set(ylabel="samples", ylim=(-1.05, 1.25), xlim=(0, len(audio) / RATE))
    wave.set_title("Silero VAD, streamed by tract; what it takes for speech is shaded", loc="left")
    for sound in sounds:
        middle = (sound.start + sound.end) / 2
        wave.annotate(sound.what, (middle, 1.08), ha="center", color=_OTHER)
    for segment in segments:
        length = segment.end - segment.start
        wave.annotate(f"{length:.1f} s", (segment.start + length / 2, 1.08), ha="center")

    # A frame's probability is known at its end, and holds until the next one's.
    ends = np.arange(1, len(probabilities) + 1) * FRAME / RATE
    probability.step(ends, probabilities, where="post", color=_LINE, linewidth=1.2)
    for threshold in (SPEECH_FROM, SILENCE_BELOW):
        probability.axhline(threshold, color="grey", linewidth=0.8, linestyle=":")
    probability.set(ylabel="probability", xlabel="seconds", ylim=(-0.03, 1.05))
    probability.set_yticks([0, SILENCE_BELOW, SPEECH_FROM, 1])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
