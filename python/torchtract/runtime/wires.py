"""What a pulsed model computes on its way, beside what the batch model does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torchtract import _native
from torchtract.runtime.fact import Fact
from torchtract.runtime.model import Model
from torchtract.runtime.origin import Origin
from torchtract.runtime.pulsed import PulsedModel


@dataclass(frozen=True)
class Wire:
    """A value that streams inside of a model.

    Attributes:
        fact: its name, and what it is in the batch model.
        layer: what gives it, for a person to read.
        module: path of the PyTorch module that this comes from, None where the file tells none.
    """

    fact: Fact
    layer: str
    module: str | None


class Wires:
    """What streams inside of a model, as `Model.pulse` with ``allow_unequal`` streams it.

    Attributes:
        wires: in an order in which they are computed.
    """

    def __init__(self, native: _native.Model, origin: Origin, symbol: str, pulse: int) -> None:
        self._native = native
        self._origin = origin
        self._pulse = (symbol, pulse)
        self.wires = tuple(
            Wire(Fact(*fact), layer, module) for fact, layer, module in native.wires(symbol, pulse)
        )

    def tap(self, wires: Iterable[Wire]) -> tuple[Model, PulsedModel]:
        """The batch model and the pulsed one, with these values for outputs.

        Args:
            wires: some of `wires`.
        """
        names = [wire.fact.name for wire in wires]
        batch, pulsed = self._native.tap(*self._pulse, names)
        return Model(batch, self._origin), PulsedModel(pulsed, self._origin)
