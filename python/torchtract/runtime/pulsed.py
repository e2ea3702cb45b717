"""Models that compute a stream of frames, a pulse of them at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

from torchtract import _native
from torchtract.errors import RunError
from torchtract.runtime.fact import Fact, Node
from torchtract.runtime.stream import Stream
from torchtract.runtime.symbols import symbol_values
from torchtract.runtime.tables import Table

if TYPE_CHECKING:
    from torchtract.runtime.model import Model


@dataclass(frozen=True)
class StreamAxis:
    """How an input or an output takes part in a stream.

    Attributes:
        axis: the axis of the frames.
        pulse: frames in each pulse.
        delay: how many frames come out of tract before the stream's first one. A `Stream` drops
            them; who runs the saved file by hand has to.
    """

    axis: int
    pulse: int
    delay: int


class PulsedModel:
    """A model that computes a pulse of frames at a time. Immutable: `set` gives another one.

    Attributes:
        symbol: name of the symbol whose stream is cut into pulses.
        pulse: its value for one pulse.
        inputs: facts of the inputs, one pulse long.
        outputs: facts of the outputs, one pulse long.
        symbols: names of the other symbols without a value.
        input_streams: by the inputs' names, how each takes part in the stream, None if not.
        output_streams: by the outputs' names, likewise.
    """

    def __init__(
        self, native: _native.PulsedModel, source: Model, settings: tuple[dict[str, Any], ...] = ()
    ) -> None:
        self._native = native
        self._source = source
        self._settings = settings
        self.symbol = native.symbol()
        self.pulse = native.pulse()
        self.inputs: tuple[Fact, ...] = tuple(Fact(*fact) for fact in native.inputs())
        self.outputs: tuple[Fact, ...] = tuple(Fact(*fact) for fact in native.outputs())
        self.symbols: tuple[str, ...] = tuple(native.symbols())
        self.input_streams = _streams(self.inputs, native.input_axes())
        self.output_streams = _streams(self.outputs, native.output_axes())

    @property
    def delay(self) -> int:
        """Frames that the latest output comes behind: the largest of `output_streams`' delays."""
        return max(stream.delay for stream in self.output_streams.values() if stream)

    @property
    def properties(self) -> dict[str, Any]:
        """The model's properties: text as ``str``, numbers as Python numbers or arrays."""
        return self._native.properties()

    def nodes(self) -> list[Node]:
        """The nodes, in an order in which they can be computed."""
        return [Node.of(*node) for node in self._native.nodes()]

    def set(self, /, **symbols: SupportsIndex | str) -> PulsedModel:
        """Gives the model with values for some of its other symbols.

        Args:
            symbols: as for `Model.set`.

        Raises:
            SymbolError: as for `Model.set`, or the symbol is the stream's.
        """
        values = symbol_values(symbols)
        return PulsedModel(self._native.set(values), self._source, (*self._settings, values))

    def compile(self, *, threads: int = 1) -> PulsedRunnable:
        """Optimises the model for this machine's processor.

        Args:
            threads: how many threads share the work of a pulse.

        Raises:
            EngineError: tract can't optimise it.
        """
        if threads < 1:
            raise ValueError(f"threads={threads}: at least one is needed")
        return PulsedRunnable(self._native.compile(threads), self, threads)

    def __copy__(self) -> PulsedModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PulsedModel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._source, self.symbol, self.pulse, self._settings)

    def _table(self) -> Table:
        streams = (("input", self.inputs, self.input_streams), ("output", self.outputs, self.output_streams))
        rows = [
            (kind, fact.name, fact.spec, *_cells(of[fact.name]))
            for kind, facts, of in streams
            for fact in facts
        ]
        rows += [("symbol", name, "", "", "", "") for name in self.symbols]
        title = f"PulsedModel, {self.symbol}={self.pulse}"
        return Table(title, ("", "name", "shape and type", ">axis", ">pulse", ">delay"), tuple(rows))

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


class PulsedRunnable:
    """A pulsed model compiled for this machine, for any number of streams.

    Attributes:
        model: the model it was compiled from.
        inputs: facts of what a stream takes, in order, as the batch model has them.
        outputs: facts of the outputs, one pulse long.
        threads: how many threads share the work of a pulse.
    """

    def __init__(self, native: _native.PulsedRunnable, model: PulsedModel, threads: int) -> None:
        self._native = native
        self.model = model
        self.inputs: tuple[Fact, ...] = tuple(Fact(*fact) for fact in native.inputs())
        self.outputs = model.outputs
        self.threads = threads

    def stream(self, fixed: Mapping[str, Any] | None = None, /, **named: Any) -> Stream:
        """Begins a stream.

        Args:
            fixed: a value for each input that does not stream, by name.
            named: more of them.

        Raises:
            RunError: one is missing, unknown, streams, or does not fit the model.
        """
        fixed = {**(fixed or {}), **named}
        names = [fact.name for fact in self.inputs]
        if unknown := [name for name in fixed if name not in names]:
            raise RunError(f"input {unknown[0]}: unknown, the model takes {', '.join(names)}")
        native = self._native.stream([fixed.get(name) for name in names])
        return Stream(native, self)

    def nodes(self) -> list[Node]:
        """The nodes of the compiled network, in an order in which they can be computed."""
        return [Node.of(*node) for node in self._native.nodes()]

    def __reduce__(self) -> tuple[Any, ...]:
        return _compile, (self.model, self.threads)

    def __repr__(self) -> str:
        table = self.model._table()
        return Table(f"Runnable of {table.title}", table.columns, table.rows).text()


def _streams(
    facts: tuple[Fact, ...], axes: list[tuple[int, int, int] | None]
) -> dict[str, StreamAxis | None]:
    pairs = zip(facts, axes, strict=True)
    return {fact.name: None if axis is None else StreamAxis(*axis) for fact, axis in pairs}


def _cells(stream: StreamAxis | None) -> tuple[str, str, str]:
    if stream is None:
        return "", "", ""
    return str(stream.axis), str(stream.pulse), str(stream.delay)


def _restore(
    source: Model, symbol: str, pulse: int, settings: tuple[dict[str, Any], ...]
) -> PulsedModel:
    model = source.pulse(**{symbol: pulse})
    for values in settings:
        model = model.set(**values)
    return model


def _compile(model: PulsedModel, threads: int) -> PulsedRunnable:
    return model.compile(threads=threads)
