"""A pulsed model beside the batch model: every output, every frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from torchtract.check.compare import LEVELS, Comparison, compare, tolerance_for
from torchtract.check.locate_stream import locate_in_stream
from torchtract.check.report import printed
from torchtract.check.stream_run import first_wrong_frame, streamed
from torchtract.errors import EngineError, MismatchError, PulseError, RunError, SymbolError
from torchtract.runtime import Fact, Model, PulsedModel, PulsedRunnable, Runnable
from torchtract.runtime.arrays import as_array
from torchtract.runtime.chunks import frames_per_unit
from torchtract.sizes import Assertion, allowed, evaluate

__all__ = ["StreamReport", "StreamRow", "check_stream", "usual_lengths"]

_Array = npt.NDArray[Any]
#: Sizes of symbols other than the stream's, in order of preference.
_SIZES = (2, 3, 1, 4, 8, 16)


@dataclass(frozen=True)
class StreamRow:
    """One output of one stream.

    Attributes:
        output: its name.
        length: what the stream's symbol was.
        chunks: how the frames were cut.
        frames: how many came out.
        comparison: of all of them with the batch model's.
    """

    output: str
    length: int
    chunks: str
    frames: int
    comparison: Comparison


@dataclass(frozen=True)
class StreamReport:
    """Every comparison of a check that passed.

    Attributes:
        rows: one for each output of each stream.
        refused: lengths that were left out, since the batch model itself refuses them, or streams
            do.
        tolerance: the level that was applied.
    """

    rows: tuple[StreamRow, ...]
    refused: tuple[str, ...]
    tolerance: str

    @property
    def max_abs(self) -> float:
        """Largest absolute difference in any frame."""
        return max((row.comparison.max_abs for row in self.rows), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title=f"streams against the batch model ({self.tolerance})")
        table.title_justify = "left"
        for column in ("output", "length", "in chunks of", "frames", "max abs", "max rel"):
            table.add_column(column, justify="left" if column == "output" else "right")
        for row in self.rows:
            found = row.comparison
            numbers = (str(row.length), row.chunks, str(row.frames))
            table.add_row(row.output, *numbers, f"{found.max_abs:.2e}", f"{found.max_rel:.2e}")
        yield table
        for line in self.refused:
            yield f"left out: {line}"

    def __str__(self) -> str:
        return printed(self)


def check_stream(
    model: Model,
    inputs: Mapping[str, Any] | None = None,
    /,
    *,
    lengths: Iterable[int] | None = None,
    tolerance: str = "approximate",
    seed: int = 0,
    pulsed: Model | None = None,
    allow_unequal: bool = False,
    **pulse: SupportsIndex,
) -> StreamReport:
    """Streams through a model and compares all frames with what the batch model gives.

    Each length is streamed twice: frame by frame and pulse by pulse mixed at random, and in one
    chunk. Lengths that the batch model itself refuses are left out, and reported as such.

    Args:
        model: the batch model.
        inputs: values for some inputs, by name, cropped to each length; random ones are made for
            others: normal, and integers 0 or 1. Other symbols than the stream's have the sizes
            that are given here.
        lengths: values of the stream's symbol; without any, none, one, some around the pulse
            and its multiples, and a long one, none longer than `inputs`.
        tolerance: one of tract's levels; see `check_io`.
        seed: of the random inputs and chunks.
        pulsed: the pulsed model, where there is one already.
        allow_unequal: else as for `Model.pulse`.
        pulse: else the symbol that streams and its value for one pulse, such as ``S=8``.

    Returns:
        A row for each output of each stream.

    Raises:
        PulseError: the model can't stream, or does so already.
        MismatchError: an output differs in number of frames or in values, from which frame on,
            and which layer's frames differ first.
        RunError: the batch model refuses every length, `inputs` don't fit the model, or are
            shorter than a length.
        ValueError: there is no such tolerance level.
    """
    if tolerance not in LEVELS:
        raise ValueError(
            f"tolerance={tolerance!r}: there is no such level; use one of {', '.join(LEVELS)}."
        )
    pulsed = pulsed or model.pulse(allow_unequal=allow_unequal, **pulse)
    if isinstance(model, PulsedModel):
        raise PulseError("model: it is pulsed already; give the batch model that it was made from")
    if not isinstance(pulsed, PulsedModel):
        raise PulseError("pulsed: it is no pulsed model; pulse it, model.pulse(S=8)")
    if _signature(pulsed) != _signature(model) or pulsed.symbol not in model.symbols:
        raise PulseError(
            f"pulsed: it is of another model, since it takes and gives {_signature(pulsed)} for "
            f"any {pulsed.symbol}, and model {_signature(model)}; give what it was made from"
        )
    check = _Check(model, pulsed, inputs or {}, tolerance, seed)
    for length in check.lengths() if lengths is None else lengths:
        check.run(length)
    if not check.rows:
        raise RunError(f"the batch model refuses every length: {check.refused[0]}")
    return StreamReport(tuple(check.rows), tuple(check.refused), tolerance)


def usual_lengths(pulsed: PulsedModel) -> list[int]:
    """Lengths below, at and above what a pulse and the delay make special, in order."""
    pulse = pulsed.pulse_size
    behind = max(-(-s.delay * pulse // s.pulse) for s in pulsed.output_streams.values() if s)
    special = [0, 1, 2, pulse - 1, pulse, pulse + 1, 2 * pulse, behind, behind + 1]
    long = [3 * pulse + 2, 5 * pulse, behind + 6 * pulse + 3, behind + 12 * pulse - 1]
    return sorted({*special, *long})


@dataclass(frozen=True)
class _Run:
    """One stream: how long it is, its inputs, and how they are cut."""

    length: str
    inputs: Mapping[str, _Array]
    chunks: list[int]

    def __str__(self) -> str:
        return f"{self.length} in chunks of {_told(self.chunks)}"


class _Check:
    """The streams of one check and what they gave."""

    def __init__(
        self,
        model: Model,
        pulsed: PulsedModel,
        values: Mapping[str, Any],
        tolerance: str,
        seed: int,
    ) -> None:
        self.rows: list[StreamRow] = []
        self.refused: list[str] = []
        self._model = model
        self._pulsed = pulsed
        self._batch: Runnable = model.compile()
        self._runnable: PulsedRunnable = pulsed.compile()
        self._values = {name: as_array(name, value) for name, value in values.items()}
        self._given_sizes = self._sizes_of_values()
        self._tolerance = tolerance
        self._random = np.random.default_rng(seed)
        self._assertions = [Assertion.parse(text) for text in model.assertions]

    def lengths(self) -> list[int]:
        """The usual lengths, as far as the given inputs go."""
        usual = usual_lengths(self._pulsed)
        longest = self._given_sizes.get(self._pulsed.symbol, usual[-1])
        return sorted({min(n, longest) for n in usual})

    def run(self, length: int) -> None:
        """Streams at one length, and compares."""
        symbol = self._pulsed.symbol
        if length > (longest := self._given_sizes.get(symbol, length)):
            raise RunError(
                f"lengths: {symbol}={length} is too long for the given inputs, which have "
                f"{symbol}={longest}; give longer ones, or no such length"
            )
        sizes = self._sizes(length)
        inputs = {fact.name: self._input(fact, sizes) for fact in self._model.inputs}
        try:
            expected = self._batch.run(inputs)
        except (RunError, SymbolError) as error:
            self.refused.append(f"{symbol}={length}: {error}")
            return
        for chunks in (self._at_random(length), [length]):
            run = _Run(f"{symbol}={length}", inputs, chunks)
            try:
                actual = streamed(self._runnable, inputs, chunks)
            except SymbolError as error:
                self.refused.append(f"{run}: {error}")
                return
            except EngineError as error:
                raise RunError(f"{run}: the batch model runs, the stream fails: {error}") from error
            for name, batch in expected.items():
                comparison = self._compare(run, name, actual[name], batch)
                frames = self._frames(name, batch)
                self.rows.append(StreamRow(name, length, _told(chunks), frames, comparison))

    def _sizes_of_values(self) -> dict[str, int]:
        """The size of each symbol that the given inputs are long enough for."""
        facts = {fact.name: fact for fact in self._model.inputs}
        sizes: dict[str, int] = {}
        for name, value in self._values.items():
            if name not in facts:
                raise RunError(f"input {name}: unknown, the model takes {', '.join(facts)}")
            if value.ndim != len(facts[name].shape):
                raise RunError(f"input {facts[name]}: got the shape {list(value.shape)}")
            axis, unit = self._pulsed.input_streams[name], frames_per_unit(self._pulsed, name)
            for i, (symbol, size) in enumerate(zip(facts[name].shape, value.shape, strict=True)):
                if axis and unit and i == axis.axis:
                    symbol, size = self._pulsed.symbol, size // unit
                if symbol in self._model.symbols:
                    sizes[str(symbol)] = min(size, sizes.get(str(symbol), size))
        return sizes

    def _sizes(self, length: int) -> dict[str, int]:
        """A size for each symbol of the batch model, such that its assertions hold."""
        sizes = {**self._given_sizes, self._pulsed.symbol: length}
        for symbol in self._model.symbols:
            if symbol not in sizes:
                choices = ({**sizes, symbol: n} for n in _SIZES)
                known = [a for a in self._assertions if a.symbols <= {*sizes, symbol}]
                sizes = next((s for s in choices if allowed(s, known)), {**sizes, symbol: 1})
        return sizes

    def _input(self, fact: Fact, sizes: Mapping[str, int]) -> _Array:
        shape = [n if isinstance(n, int) else evaluate(n, sizes) for n in fact.shape]
        if fact.name in self._values:
            known = zip(fact.shape, shape, strict=True)
            cut = tuple(slice(n if isinstance(size, str) else None) for size, n in known)
            return np.asarray(self._values[fact.name][cut], order="C")
        dtype = np.dtype(fact.dtype)
        try:
            if dtype.kind in "biu":
                return self._random.integers(0, 2, shape).astype(dtype)
            if dtype.kind == "c":
                real, imag = self._random.standard_normal((2, *shape))
                return np.asarray(real + 1j * imag).astype(dtype)
            return self._random.standard_normal(shape).astype(dtype)
        except (MemoryError, ValueError) as error:
            raise RunError(
                f"input {fact}: no random one of {shape} can be made: {error}"
            ) from error

    def _at_random(self, length: int) -> list[int]:
        chunks: list[int] = []
        largest = 3 * self._pulsed.pulse_size
        while sum(chunks) < length:
            wanted = int(self._random.choice([0, 1, int(self._random.integers(0, largest + 1))]))
            chunks.append(min(wanted, length - sum(chunks)))
        return chunks or [0]

    def _frames(self, name: str, array: _Array) -> int:
        axis = self._pulsed.output_streams[name]
        return 1 if axis is None else int(array.shape[axis.axis])

    def _compare(self, run: _Run, name: str, actual: _Array, expected: _Array) -> Comparison:
        if (actual.shape, actual.dtype) != (expected.shape, expected.dtype):
            self._refuse(
                run,
                name,
                f"is {actual.dtype} {actual.shape}, the batch model gives {expected.dtype} "
                f"{expected.shape}",
            )
        found = compare(actual, expected, tolerance_for(self._tolerance, expected.dtype))
        if not found.ok:
            stream = self._pulsed.output_streams[name]
            axis = stream.axis if stream else 0
            frame = first_wrong_frame(axis, actual, expected, self._tolerance)
            self._refuse(
                run,
                name,
                f"differs from frame {frame} on: {found.actual} instead of {found.expected} at "
                f"{found.index}",
                found,
            )
        return found

    def _refuse(self, run: _Run, name: str, how: str, found: Comparison | None = None) -> NoReturn:
        """Raise what is known about an output that differs, and in which layer that begins."""
        message = f"{run}: output {name} {how}"
        known: dict[str, Any] = {}
        if found is not None:
            known = {key: getattr(found, key) for key in ("max_abs", "max_rel", "index")}
        # Whatever goes wrong in looking for the layer, the mismatch is what there is to tell.
        with suppress(Exception):
            layer = locate_in_stream(
                self._model, self._pulsed, run.inputs, run.chunks, self._tolerance
            )
            if layer is not None:
                message += f"\n{layer}"
                known |= {"module": layer.module, "node": layer.node}
        raise MismatchError(message, output=name, **known)


def _signature(model: Model) -> str:
    return ", ".join(f"{fact.name}: {fact.dtype}" for fact in (*model.inputs, *model.outputs))


def _told(chunks: list[int]) -> str:
    text = ", ".join(map(str, chunks[:8]))
    return f"{text}, ..." if len(chunks) > 8 else text
