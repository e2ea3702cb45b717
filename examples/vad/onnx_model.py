"""The package's own ONNX model under onnxruntime: what ours is compared with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from vad.network import FRAME, RATE, package_file

__all__ = ["OnnxVAD"]

Array = npt.NDArray[np.float32]


class OnnxVAD:
    """The model and the state of one stream, on one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            package_file("silero_vad.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._rate = np.array(RATE, np.int64)
        self._state = np.zeros((2, 1, 128), np.float32)

    def step(self, window: Array) -> float:
        """The probability of the next frame, [1, 64 + 512] with the samples before it."""
        inputs = {"input": window, "state": self._state, "sr": self._rate}
        probability, self._state = self._session.run(None, inputs)
        return float(probability[0, 0])

    def probabilities(self, audio: Array) -> Array:
        """The probabilities of all frames of [S] samples, frame after frame."""
        return np.array([self.step(window) for window in windows(audio)], np.float32)


def windows(audio: Array) -> list[Array]:
    """Each frame of [S] samples with the 64 samples before it, [1, 576]."""
    padded = np.pad(audio, (64, 0))
    return [padded[None, at : at + 64 + FRAME] for at in range(0, len(audio), FRAME)]
