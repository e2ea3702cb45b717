"""A stream run from its start to its end, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.check.compare import compare, tolerance_for
from torchtract.runtime import PulsedModel, PulsedRunnable

__all__ = ["first_wrong_frame", "streamed"]

_Array = npt.NDArray[Any]


def streamed(
    runnable: PulsedRunnable, inputs: Mapping[str, _Array], chunks: Sequence[int]
) -> dict[str, _Array]:
    """All frames of each output, or the whole of one that does not stream.

    Args:
        runnable: the compiled pulsed model.
        inputs: the whole of each input of the batch model.
        chunks: how many frames are pushed at a time, as values of the stream's symbol.
    """
    pulsed = runnable.model
    fixed = {name: x for name, x in inputs.items() if pulsed.input_streams[name] is None}
    stream = runnable.stream(fixed)
    pieces: dict[str, list[_Array]] = {fact.name: [] for fact in pulsed.outputs}
    for chunk in _cut(pulsed, inputs, chunks):
        _gather(pieces, stream.push(**chunk))
    _gather(pieces, stream.flush())
    return {name: _joined(pulsed, name, arrays) for name, arrays in pieces.items()}


def first_wrong_frame(axis: int, actual: _Array, expected: _Array, level: str) -> int:
    """The first frame that differs between arrays of one shape; 0 where only all together do."""
    tolerance = tolerance_for(level, expected.dtype)
    frames = zip(np.moveaxis(actual, axis, 0), np.moveaxis(expected, axis, 0), strict=True)
    wrong = (i for i, (a, e) in enumerate(frames) if not compare(a, e, tolerance).ok)
    return next(wrong, 0)


def _cut(
    pulsed: PulsedModel, inputs: Mapping[str, _Array], chunks: Sequence[int]
) -> Iterator[dict[str, _Array]]:
    start = 0
    for chunk in chunks:
        cut = {}
        for name, axis in pulsed.input_streams.items():
            if axis is not None:
                unit = axis.pulse // pulsed.pulse_size
                frames = slice(start * unit, (start + chunk) * unit)
                cut[name] = inputs[name][(slice(None),) * axis.axis + (frames,)]
        yield cut
        start += chunk


def _gather(pieces: dict[str, list[_Array]], outputs: Any) -> None:
    arrays = outputs if isinstance(outputs, tuple) else (outputs,)
    for known, array in zip(pieces.values(), arrays, strict=True):
        if array is not None:
            known.append(array)


def _joined(pulsed: PulsedModel, name: str, arrays: list[_Array]) -> _Array:
    axis = pulsed.output_streams[name]
    return arrays[-1] if axis is None else np.concatenate(arrays, axis.axis)
