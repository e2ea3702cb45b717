"""Numbers in tensors that PyTorch takes for sizes: a run in which one is another number fails.

In `torch.arange(lengths.max().item()) < lengths[:, None]`, put beside as many frames as an input
has, the greatest length is the number of frames, or PyTorch refuses. Torch's tracer writes the
number of frames for it from then on, so without a check a run would give something.
"""

from __future__ import annotations

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.value import Size, Value, size_of
from torchtract.nnef import identifier

__all__ = ["Granted", "taken_for_granted"]


def taken_for_granted(count: Size, other: Size) -> str:
    """The refusal of a size that a run finds, and that shapes are made of."""
    return f"PyTorch takes for granted that {count} is {other}, and that depends on the data"


class Granted:
    """What was taken for granted, until an output checks it.

    Args:
        builder: of the graph.
    """

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._equal: list[tuple[Value, Size, str]] = []

    def note(self, number: Value, size: sympy.Expr, told: str) -> None:
        """Say that the number in a tensor of one element is a size, in the user's terms `told`."""
        if number.known is None or size_of(size) != int(number.known):
            self._equal.append((number, size_of(size), told))

    def checked(self, output: Value) -> Value:
        """An output that a run gives where all of it is so, and that fails elsewhere."""
        b = self._builder
        for number, size, told in self._equal:
            b.enter(identifier(f"{number.name}_is_{told}"), "", (output,))
            different = b.cast(self._differ(number, size), torch.int64)
            end = b.binary("add", different, b.scalar(1, torch.int64))
            rows = b.unsqueeze(output, [0])
            row = b.emit("tract_core_dyn_slice", rows, 0, end, 1, 0, like=rows)
            output = b.squeeze(row, [0])
        self._equal.clear()
        return output

    def _differ(self, number: Value, size: Size) -> Value:
        b = self._builder
        number = b.cast(b.reshape(number, []), torch.int64)
        return b.binary("ne", number, b.scalar(size, torch.int64), torch.bool)
