"""A stream run from its start to its end, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.check.compare import compare, tolerance_for
from torchtract.runtime import PulsedRunnable
from torchtract.runtime.chunks import Collected, chunk_of

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
    stream = runnable.stream(
        {name: x for name, x in inputs.items() if pulsed.input_streams[name] is None}
    )
    collected = Collected(pulsed)
    start = 0
    for chunk in chunks:
        collected.add(stream.push(**chunk_of(pulsed, inputs, start, start + chunk)))
        start += chunk
    collected.add(stream.flush())
    return collected.joined()


def first_wrong_frame(axis: int, actual: _Array, expected: _Array, level: str) -> int:
    """The first frame that differs between arrays of one shape; 0 where only all together do."""
    tolerance = tolerance_for(level, expected.dtype)
    frames = zip(np.moveaxis(actual, axis, 0), np.moveaxis(expected, axis, 0), strict=True)
    wrong = (i for i, (a, e) in enumerate(frames) if not compare(a, e, tolerance).ok)
    return next(wrong, 0)
