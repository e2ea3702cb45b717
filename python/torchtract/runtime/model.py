"""A loaded model: looking at it, setting its symbols."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from torchtract import _native
from torchtract.errors import PulseError, UnequalStreamWarning
from torchtract.runtime.fact import Fact, Node, describe
from torchtract.runtime.origin import Origin
from torchtract.runtime.pairs import facts_of, names_of_pairs
from torchtract.runtime.profile import Profile
from torchtract.runtime.runnable import Runnable
from torchtract.runtime.symbols import symbol_values
from torchtract.runtime.tables import Table
from torchtract.runtime.threads import checked_threads

if TYPE_CHECKING:
    from torchtract.runtime.causal import CausalModel
    from torchtract.runtime.pulsed import PulsedModel
    from torchtract.runtime.wires import Wires


class Model:
    """A loaded model, as it stands in its file. Immutable: `set` gives another one.

    Pickling one reads its file again and carries the whole archive, so that it can be unpickled
    where there is no such file.

    Attributes:
        inputs: facts of the inputs, in order.
        outputs: facts of the outputs, in order.
        symbols: names of the symbols without a value, in order of their declaration.
        assertions: what the file asserts of its symbols, such as ``"B >= 1"``.
    """

    def __init__(self, native: _native.Model, origin: Origin) -> None:
        self._native = native
        self._origin = origin
        pairs = names_of_pairs(native)
        self.inputs: tuple[Fact, ...] = facts_of(native.inputs(), pairs)
        self.outputs: tuple[Fact, ...] = facts_of(native.outputs(), pairs)
        self.symbols: tuple[str, ...] = tuple(native.symbols())
        self.assertions: tuple[str, ...] = tuple(native.assertions())

    @property
    def properties(self) -> dict[str, Any]:
        """The file's properties: text as ``str``, numbers as Python numbers or arrays."""
        return self._native.properties()

    def nodes(self) -> list[Node]:
        """The nodes, in an order in which they can be computed."""
        return [Node.of(*node) for node in self._native.nodes()]

    def set(self, /, **symbols: SupportsIndex | str) -> Model:
        """Gives the model with values for some of its symbols.

        Args:
            symbols: a number for each, or an expression over other symbols such as ``"2*S"``.

        Raises:
            SymbolError: a symbol does not exist or has a value already; a value is no ``int`` and
                no expression, makes a size negative, or is one that an assertion forbids.
        """
        values = symbol_values(symbols)
        return Model(self._native.set(values), self._origin.with_setting(values))

    def compile(self, *, threads: int = 1) -> Runnable:
        """Optimises the model for this machine's processor.

        Symbols that are free stay so: each call binds them to the sizes of its inputs.

        Args:
            threads: how many threads share the work of a call.

        Raises:
            EngineError: tract can't optimise it, or there can't be so many threads.
        """
        threads = checked_threads(threads)
        return Runnable(self._native.compile(threads), self._origin, threads)

    def causal(self, *, threads: int = 1) -> CausalModel:
        """Optimises a causal language model, whose keys and values then stay inside of tract.

        Its inputs are token ids, `[1, S]`, and for each layer the keys and values of the P tokens
        before; its outputs logits, and all keys and values. `torchtract.llm.export` writes such
        files.

        Args:
            threads: how many threads share the work of a call.

        Raises:
            EngineError: it is no such model, tract can't optimise it, or there can't be so many
                threads.
        """
        from torchtract.runtime.causal import CausalModel

        threads = checked_threads(threads)
        return CausalModel(self._native.compile_causal(threads), threads, self)

    def pulse(self, /, *, allow_unequal: bool = False, **pulse: SupportsIndex) -> PulsedModel:
        """Gives the model that computes a stream, a pulse of frames at a time.

        Args:
            allow_unequal: whether layers are let through that tract streams, but not as the
                batch model computes: a backward RNN then runs backwards through each pulse.
                `PulsedModel.unequal` tells which, and why.
            pulse: the symbol that streams and its value for one pulse, such as ``S=8``.

        Raises:
            PulseError: the model can't stream, and which layer is to blame; or not by pulses of
                that length, and which lengths do.
            SymbolError: there is no such symbol, or it has a value already.

        Warns:
            UnequalStreamWarning: layers were let through, and which.
        """
        from torchtract.runtime.pulsed import PulsedModel

        symbol, length = one_pulse(pulse)
        native = self._native.pulse(symbol, length, allow_unequal)
        pulsed = PulsedModel(native, self._origin, (symbol, length, allow_unequal))
        _check_sizes(f"{symbol}={length}", pulsed)
        if pulsed.unequal:
            told = f"{symbol}={length}: streams may give other numbers than the batch model, by"
            message = "\n  ".join([told, *pulsed.unequal])
            warnings.warn(message, UnequalStreamWarning, stacklevel=2)
        return pulsed

    def wires(self, /, **pulse: SupportsIndex) -> Wires:
        """Gives access to what streams inside of the model, in it and pulsed.

        Args:
            pulse: as for `pulse`.

        Raises:
            PulseError: the model can't stream, not even with ``allow_unequal``.
            SymbolError: as for `pulse`.
        """
        from torchtract.runtime.wires import Wires

        return Wires(self._native, self._origin, *one_pulse(pulse))

    def profile(
        self,
        /,
        *args: Any,
        threads: int = 1,
        warmup: int = 1,
        iterations: int = 1000,
        max_seconds: float = 2.0,
    ) -> Profile:
        """Compiles the model and measures where the time of a run goes: `Runnable.profile`."""
        runnable = self.compile(threads=threads)
        return runnable.profile(
            *args, warmup=warmup, iterations=iterations, max_seconds=max_seconds
        )

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._origin,)

    def _table(self) -> Table:
        return describe("Model", self.inputs, self.outputs, self.symbols, self.assertions)

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def one_pulse(pulse: Mapping[str, SupportsIndex]) -> tuple[str, int]:
    """The symbol that streams, and its value for one pulse.

    Raises:
        PulseError: it is not exactly one symbol, or an expression.
        SymbolError: the value is no ``int``.
    """
    if len(pulse) != 1:
        given = ", ".join(f"{name}={value}" for name, value in pulse.items())
        raise PulseError(f"pulse({given}): one symbol streams, give exactly one")
    ((symbol, length),) = symbol_values(pulse).items()
    if isinstance(length, str):
        raise PulseError(f"{symbol}={length!r}: a pulse has a fixed length, give an int")
    return symbol, length


def _restore(origin: Origin) -> Model:
    return Model(origin.load(), origin)


def _check_sizes(pulse: str, pulsed: PulsedModel) -> None:
    """Refuse a model of which only a run knows how large a frame of an output is.

    A stream has to know it where there is no frame, so as to give none of that size.
    """
    known = {symbol for fact in pulsed.inputs for symbol in fact.symbols}
    for fact in pulsed.outputs:
        for symbol in fact.symbols - known:
            raise PulseError(
                f"{pulse}: output {fact.name} has a size that only a run finds, {symbol}, and a "
                "stream has to know it before; give that axis a fixed size"
            )
