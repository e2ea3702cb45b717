"""The first layer of a pulsed model whose frames are not the batch model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from torchtract.check.compare import compare, fact_text, tolerance_for
from torchtract.check.report import Divergence
from torchtract.check.stream_run import first_wrong_frame, streamed
from torchtract.runtime import Model, PulsedModel
from torchtract.runtime.wires import Wire

__all__ = ["locate_in_stream"]

_Array = npt.NDArray[Any]

#: How many layers' frames are held at once.
_AT_ONCE = 64


def locate_in_stream(
    model: Model,
    pulsed: PulsedModel,
    inputs: Mapping[str, _Array],
    chunks: Sequence[int],
    level: str,
) -> Divergence | None:
    """Pulse the model again and compare what its layers give, in the order they are computed in.

    Args:
        model: the batch model.
        pulsed: what differs from it.
        inputs: the whole of each input.
        chunks: how they were pushed when it showed.
        level: one of tract's tolerance levels.

    Returns:
        The first layer that differs, or that none does; None where `pulsed` was made of another
        model, as far as can be told.

    Raises:
        EngineError: the model can't be pulsed, or its layers not be computed.
    """
    inside = model.wires(**{pulsed.symbol: pulsed.pulse_size})
    for start in range(0, len(inside.wires), _AT_ONCE):
        wires = inside.wires[start : start + _AT_ONCE]
        batch, again = inside.tap(wires)
        if again.unequal != pulsed.unequal:
            return None
        expected = batch.compile().run(inputs)
        actual = streamed(again.compile(), inputs, chunks)
        for wire in wires:
            name, stream = wire.fact.name, again.output_streams[wire.fact.name]
            axis = stream.axis if stream else 0
            how = _difference(axis, actual[name], expected[name], level)
            if how is not None:
                return _found(wire, how)
    return Divergence(
        "No layer differs where the batch model is pulsed here: check that the pulsed model was "
        "made of it."
    )


def _difference(axis: int, actual: _Array, expected: _Array, level: str) -> str | None:
    """How a layer's frames differ, None where they don't."""
    if (actual.dtype, actual.shape) != (expected.dtype, expected.shape):
        return f"it gives {fact_text(actual)} instead of {fact_text(expected)}"
    found = compare(actual, expected, tolerance_for(level, expected.dtype))
    if found.ok:
        return None
    frame = first_wrong_frame(axis, actual, expected, level)
    return f"from frame {frame} on: {found.actual} instead of {found.expected} at {found.index}"


def _found(wire: Wire, how: str) -> Divergence:
    text = f"The first layer that differs: {wire.layer}, {how}"
    return Divergence(text, module=wire.module, node=wire.fact.name)
