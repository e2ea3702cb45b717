"""Models that compute a stream of frames, a pulse of them at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar

from torchtract import _native
from torchtract.errors import PulseError, RunError
from torchtract.runtime.fact import Fact
from torchtract.runtime.model import Model
from torchtract.runtime.origin import Origin
from torchtract.runtime.pairs import Pairs, facts_of, names_of_pairs
from torchtract.runtime.pool import StreamPool
from torchtract.runtime.runnable import Runnable
from torchtract.runtime.stream import Stream, checked_rate
from torchtract.runtime.symbols import symbol_values
from torchtract.runtime.tables import Table
from torchtract.runtime.threads import checked_threads

_Begun = TypeVar("_Begun")


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


class PulsedModel(Model):
    """A model that computes a pulse of frames at a time. Immutable: `set` gives another one.

    Attributes:
        symbol: name of the symbol whose stream is cut into pulses.
        pulse_size: its value for one pulse.
        inputs: facts of the inputs, one pulse long.
        outputs: facts of the outputs, one pulse long.
        symbols: names of the other symbols without a value.
        assertions: what the file asserts of these.
        input_streams: by the inputs' names, how each takes part in the stream, None if not.
        output_streams: by the outputs' names, likewise.
        unequal: the layers that give other numbers than the batch model's, and why: those that
            `Model.pulse` let through with ``allow_unequal``.
    """

    def __init__(
        self,
        native: _native.PulsedModel,
        origin: Origin,
        pulse: tuple[str, int, bool] | None = None,
        settings: tuple[dict[str, int | str], ...] = (),
    ) -> None:
        super().__init__(native.model(), origin)
        self._pulsed = native
        # What made it of the model at the origin: None where that is pulsed already.
        self._pulse = pulse
        self._settings = settings
        self.symbol = native.symbol()
        self.pulse_size = native.pulse()
        self.input_streams = _streams(self.inputs, native.input_axes())
        self.output_streams = _streams(self.outputs, native.output_axes())
        self.unequal: tuple[str, ...] = tuple(native.unequal())

    @property
    def delay(self) -> int:
        """Frames that the latest output comes behind: the largest of `output_streams`' delays."""
        return max(stream.delay for stream in self.output_streams.values() if stream)

    @property
    def latency(self) -> int:
        """Frames of the symbol from a frame's arrival to its output at the latest."""
        behind = [
            -(-stream.delay * self.pulse_size // stream.pulse)
            for stream in self.output_streams.values()
            if stream
        ]
        return max(behind) + self.pulse_size - 1

    def pulse(
        self,
        /,
        *,
        allow_unequal: bool = False,  # noqa: ARG002
        **pulse: SupportsIndex,
    ) -> PulsedModel:
        """Refuses: one symbol streams, and one does already.

        Raises:
            PulseError: always.
        """
        given = ", ".join(f"{name}={value}" for name, value in pulse.items())
        raise PulseError(
            f"pulse({given}): the model is pulsed already, {self.symbol}={self.pulse_size}, and "
            "one symbol streams; pulse the model that it was made from"
        )

    def set(self, /, **symbols: SupportsIndex | str) -> PulsedModel:
        """Gives the model with values for some of its other symbols.

        Args:
            symbols: as for `Model.set`.

        Raises:
            SymbolError: as for `Model.set`, or the symbol is the stream's.
        """
        values = symbol_values(symbols)
        settings = (*self._settings, values)
        return PulsedModel(self._pulsed.set(values), self._origin, self._pulse, settings)

    def compile(self, *, threads: int = 1) -> PulsedRunnable:
        """Optimises the model for this machine's processor.

        Args:
            threads: how many threads share the work of a pulse.

        Raises:
            EngineError: tract can't optimise it, or there can't be so many threads.
        """
        threads = checked_threads(threads)
        return PulsedRunnable(self._pulsed.compile(threads), self, self._origin, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as an archive that tract runs, a pulse at each turn of a state.

        Its properties tell how: ``pulse.delay`` has the frames of each output to be dropped,
        ``pulse.input_axes`` and ``pulse.output_axes`` the axes of the frames, -1 where there is
        none. `load` of it streams at once. ``torchtract.pulse.unequal`` has what `unequal` has.

        Args:
            path: where to; compressed if it ends in ``gz``. A file that is there is replaced.

        Raises:
            PulseError: tract can't write a layer, or can't read what it writes.
        """
        self._pulsed.save(Path(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._origin, self._pulse, self._settings)

    def _table(self) -> Table:
        return _table("PulsedModel", self)


class PulsedRunnable(Runnable):
    """A pulsed model compiled for this machine, for any number of streams.

    A call computes one pulse, as the first of a stream: use `stream` for a stream.

    Attributes:
        model: the model it was compiled from.
        inputs: facts of the inputs, one pulse long.
        outputs: facts of the outputs, one pulse long.
        stream_inputs: facts of what a stream takes, in order, as the batch model has them.
        stream_pairs: the complex numbers among what a stream takes and gives, None if none are.
        threads: how many threads share the work of a pulse.
    """

    def __init__(
        self, native: _native.PulsedRunnable, model: PulsedModel, origin: Origin, threads: int
    ) -> None:
        super().__init__(native.runnable(), origin, threads)
        self._pulsed = native
        self.model = model
        names = names_of_pairs(native.runnable())
        self.stream_inputs: tuple[Fact, ...] = facts_of(native.inputs(), names)
        streams = [fact for fact in self.stream_inputs if model.input_streams[fact.name]]
        self.stream_pairs = Pairs(names, streams, self.outputs) if names else None
        self._fixed_pairs = Pairs(names, self.stream_inputs, ()) if names else None

    def stream(
        self,
        fixed: Mapping[str, Any] | None = None,
        /,
        *,
        rate: float | None = None,
        **named: Any,
    ) -> Stream:
        """Begins a stream.

        Args:
            fixed: a value for each input that does not stream, by name.
            rate: frames in a second, counted as `Stream.position` is: 16000 samples, 100 feature
                frames. With it, `Stream.seconds` and `Stream.latency_seconds` tell time.
            named: more fixed values. That of an input called ``rate`` goes into `fixed`.

        Raises:
            RunError: a value is missing, unknown, of an input that streams, or does not fit the
                model.
            ValueError: `rate` is not above zero, or not finite.
            TypeError: it is no number.
        """
        values = self.fixed_values({**(fixed or {}), **named})
        rate = None if rate is None else checked_rate(rate)
        return Stream(self.begun(self._pulsed.stream, values), self, rate)

    def streams(self, capacity: int, *, batched: bool | None = None) -> StreamPool:
        """Makes room for many streams, which come and go, and share the network's turns.

        Args:
            capacity: how many there may be at once.
            batched: whether streams share turns. Without it they do, where the model lets them:
                where nothing goes along the batch axis (one is added to a model that has none),
                and nothing counts frames for all streams alike, as positions do.

        Raises:
            PulseError: they must share turns and can't, with the layer and the reason.
            ValueError: `capacity` is below one.
        """
        if capacity < 1:
            raise ValueError(f"streams({capacity}): room for at least one is needed")
        return StreamPool(self._pulsed.pool(capacity, batched), self)

    def fixed_values(self, fixed: Mapping[str, Any]) -> list[Any | None]:
        """Puts values for inputs that don't stream into the inputs' order, None for the others.

        Raises:
            RunError: a name is unknown.
        """
        if unknown := [name for name in fixed if name not in self._names]:
            takes = ", ".join(self._names)
            raise RunError(f"input {unknown[0]}: unknown, the model takes {takes}")
        return [fixed.get(name) for name in self._names]

    def begun(self, begin: Callable[[list[Any | None]], _Begun], fixed: list[Any | None]) -> _Begun:
        """What the native function `begin` gives for values of `fixed_values`."""
        if self._fixed_pairs is None:
            return begin(fixed)
        pairs = self._fixed_pairs.split(fixed)
        given = [p if f is not None else None for f, p in zip(fixed, pairs, strict=True)]
        return self._fixed_pairs.call(begin, given)

    def __reduce__(self) -> tuple[Any, ...]:
        return _compile, (self.model, self.threads)

    def _table(self) -> Table:
        return _table("PulsedRunnable", self.model)


def _table(kind: str, model: PulsedModel) -> Table:
    streams = (
        ("input", model.inputs, model.input_streams),
        ("output", model.outputs, model.output_streams),
    )
    rows = [
        (which, fact.name, fact.spec, *_cells(of[fact.name]))
        for which, facts, of in streams
        for fact in facts
    ]
    rows += [("symbol", name, "", "", "", "") for name in model.symbols]
    columns = ("", "name", "shape and type", "axis", "pulse", "delay")
    notes = tuple(f"unequal to the batch model: {layer}" for layer in model.unequal)
    return Table(f"{kind}, {model.symbol}={model.pulse_size}", columns, tuple(rows), notes)


def _streams(
    facts: tuple[Fact, ...], axes: list[tuple[int, int, int] | None]
) -> dict[str, StreamAxis | None]:
    pairs = zip(facts, axes, strict=True)
    return {fact.name: None if axis is None else StreamAxis(*axis) for fact, axis in pairs}


def _cells(stream: StreamAxis | None) -> tuple[str, str, str]:
    if stream is None:
        return "", "", ""
    return f"axis {stream.axis}", f"pulse {stream.pulse}", f"delay {stream.delay}"


def _restore(
    origin: Origin, pulse: tuple[str, int, bool] | None, settings: tuple[dict[str, int | str], ...]
) -> PulsedModel:
    native = origin.load()
    pulsed = native.opened() if pulse is None else native.pulse(*pulse)
    if pulsed is None:
        raise PulseError("the file holds no pulsed model any more: it changed; pulse it again")
    for values in settings:
        pulsed = pulsed.set(values)
    return PulsedModel(pulsed, origin, pulse, settings)


def _compile(model: PulsedModel, threads: int) -> PulsedRunnable:
    return model.compile(threads=threads)
