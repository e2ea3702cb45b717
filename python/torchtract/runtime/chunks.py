"""Inputs cut into the chunks of a stream, and outputs put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torchtract.runtime.pulsed import PulsedModel

__all__ = ["Collected", "chunk_of", "frames_per_unit"]


def frames_per_unit(model: PulsedModel, name: str) -> int | None:
    """Frames of an input for one of the stream's symbol, None where it does not stream."""
    axis = model.input_streams[name]
    return None if axis is None else axis.pulse // model.pulse_size


def chunk_of(
    model: PulsedModel, inputs: Mapping[str, npt.NDArray[Any]], start: int, end: int
) -> dict[str, npt.NDArray[Any]]:
    """The part of each streaming input between two values of the stream's symbol, by name."""
    chunk = {}
    for name, axis in model.input_streams.items():
        if axis is not None:
            unit = axis.pulse // model.pulse_size
            frames = slice(start * unit, end * unit)
            chunk[name] = inputs[name][(slice(None),) * axis.axis + (frames,)]
    return chunk


class Collected:
    """What a stream gave so far."""

    def __init__(self, model: PulsedModel) -> None:
        self._axes = model.output_streams
        self._pieces: dict[str, list[npt.NDArray[Any]]] = {fact.name: [] for fact in model.outputs}

    def add(self, outputs: Any) -> None:
        """Takes what `Stream.push` or `Stream.flush` gave."""
        arrays = outputs if isinstance(outputs, tuple) else (outputs,)
        for pieces, array in zip(self._pieces.values(), arrays, strict=True):
            if array is not None:
                pieces.append(array)

    def joined(self) -> dict[str, npt.NDArray[Any]]:
        """Each output by name, its frames put end to end."""
        outputs = {}
        for name, pieces in self._pieces.items():
            axis = self._axes[name]
            outputs[name] = pieces[-1] if axis is None else np.concatenate(pieces, axis.axis)
        return outputs
