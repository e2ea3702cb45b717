"""A frame of Silero VAD: our stream beside the package's ONNX model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np

from benchmarks.measure import Samples, race
from benchmarks.report import Comparison, Report
from vad.audio import SPEECH, read, scene, whole_frames
from vad.network import FRAME, RATE
from vad.onnx_model import OnnxVAD, windows
from voice_activity import export


def test_frame(report: Report, rounds: Callable[[int], int]) -> None:
    audio = whole_frames(scene(read(SPEECH))[0])
    stream = export(audio).pulse(S=FRAME).set(B=1).compile().stream()
    onnx = OnnxVAD()
    frames = [audio[None, at : at + FRAME] for at in range(0, len(audio), FRAME)]
    ours = np.concatenate([stream.push(frame) for frame in frames], 1)[0]
    np.testing.assert_allclose(ours, onnx.probabilities(audio), atol=1e-5)

    # Theirs has its windows ready: to put the samples of the frame before in is its caller's work.
    next_frame, next_window = cycle(frames), cycle(windows(audio))
    seconds = race(
        {
            "torchtract": lambda: stream.push(next(next_frame)),
            "onnxruntime": lambda: onnx.step(next(next_window)),
        },
        rounds(15),
        calls=len(frames),
    )
    real_time = Samples("the frame's sound", [FRAME / RATE])
    report.add(
        Comparison(
            "a frame of Silero VAD", seconds["torchtract"], seconds["onnxruntime"], target=1.0
        ),
        Comparison("a frame of Silero VAD", seconds["torchtract"], real_time),
    )
