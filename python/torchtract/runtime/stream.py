"""Streams: chunks of any length in, the frames of the batch model out."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, overload

from torchtract import _native
from torchtract.errors import RunError

if TYPE_CHECKING:
    from torchtract.runtime.pulsed import PulsedModel, PulsedRunnable


@dataclass(frozen=True, eq=False, repr=False)
class StreamSnapshot:
    """A stream as it was at one moment. Nothing changes it: `Stream.restore` goes back to it.

    Attributes:
        position: how far the stream had come; see `Stream.position`.
        ended: whether it was flushed.
    """

    _native: _native.Stream
    _runnable: PulsedRunnable
    position: int
    ended: bool

    def __repr__(self) -> str:
        return _told("StreamSnapshot", self._runnable.model, self.position, self.ended)


class BaseStream:
    """What a stream of its own and one in a pool have in common.

    All that `push` and `flush` give, put end to end along the axis of the frames, is what the
    batch model gives for all that was pushed.
    """

    def __init__(
        self,
        native: _native.Stream | _native.PoolStream,
        runnable: PulsedRunnable,
        rate: float | None = None,
    ) -> None:
        self._native = native
        self._runnable = runnable
        self._rate = rate
        streams = runnable.model.input_streams
        self._names = [fact.name for fact in runnable.stream_inputs if streams[fact.name]]
        self._pairs = runnable.stream_pairs

    def push(self, /, *chunks: Any, **named: Any) -> Any:
        """Takes the next frames and gives those that are ready.

        Args:
            chunks: for each input that streams, in order, its next frames: any number of them,
                none included, but of all inputs the same stretch of time. See `Runnable.__call__`
                for what they can be.
            named: chunks by the inputs' names.

        Returns:
            The frames of the output that are ready, possibly none; a tuple where the model has
            several outputs, with None for one that does not stream.

        Raises:
            RunError: the stream was flushed; chunks are missing, unknown or don't fit the model
                or each other; or tract fails. The stream is as it was before.
            SymbolError: the stream gets longer than an assertion of the file allows; likewise.
        """
        values = self._in_order(chunks, named)
        if self._pairs is None:
            return self.unpacked(self._native.push(values))
        return self.unpacked(self._pairs.call(self._native.push, values))

    def flush(self) -> Any:
        """Ends the stream and gives the frames that were still to come.

        Returns:
            As `push`, and the whole of an output that does not stream.

        Raises:
            RunError: it was flushed already, nothing was ever pushed while sizes of the outputs
                depend on what is, or tract fails. The stream is as it was before.
            SymbolError: an assertion of the file forbids the stream's length; likewise.
        """
        return self.unpacked(self._native.flush())

    def reset(self) -> None:
        """Goes back to the start, with the same values for the inputs that don't stream."""
        self._native.reset()

    @property
    def runnable(self) -> PulsedRunnable:
        """What the stream runs through."""
        return self._runnable

    @property
    def position(self) -> int:
        """How far the stream has come, as a value of its symbol: frames, mostly."""
        return self._native.position()

    @property
    def ended(self) -> bool:
        """Whether it was flushed."""
        return self._native.ended()

    @property
    def latency(self) -> int:
        """Frames, counted as `position` is, from a frame's arrival to its output at the latest."""
        return self._runnable.model.latency

    @property
    def rate(self) -> float | None:
        """Frames in a second, counted as `position` is; None where the stream began without."""
        return self._rate

    @property
    def seconds(self) -> float:
        """How far the stream has come, in seconds.

        Raises:
            RunError: the stream began without a rate.
        """
        return self.position / self._known_rate()

    @property
    def latency_seconds(self) -> float:
        """Seconds of stream from a frame's arrival to its output at the latest: `latency`.

        What the computation takes comes on top.

        Raises:
            RunError: the stream began without a rate.
        """
        return self.latency / self._known_rate()

    @overload
    def over(self, source: AsyncIterable[Any]) -> AsyncIterator[Any]: ...
    @overload
    def over(self, source: Iterable[Any]) -> Iterator[Any]: ...
    def over(
        self, source: Iterable[Any] | AsyncIterable[Any]
    ) -> Iterator[Any] | AsyncIterator[Any]:
        """Pushes what `source` gives, flushes at its end, and gives what comes out on the way.

        Args:
            source: chunks, each an array, or a tuple of them where several inputs stream; an
                asynchronous source makes this an asynchronous iterator.
        """
        if isinstance(source, AsyncIterable):
            return self._over_async(source)
        return self._over(source)

    def _over(self, source: Iterable[Any]) -> Iterator[Any]:
        for chunk in source:
            yield self.push(*(chunk if isinstance(chunk, tuple) else (chunk,)))
        yield self.flush()

    async def _over_async(self, source: AsyncIterable[Any]) -> AsyncIterator[Any]:
        async for chunk in source:
            yield self.push(*(chunk if isinstance(chunk, tuple) else (chunk,)))
        yield self.flush()

    def _in_order(self, chunks: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        if named or len(chunks) != len(self._names):
            chunks = self._joined(chunks, named)
        return chunks if self._pairs is None else self._pairs.split(chunks)

    def _joined(self, chunks: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Joins chunks given by position and by name."""
        expected = self._names[len(chunks) :]
        if len(chunks) <= len(self._names) and set(named) == set(expected):
            return (*chunks, *[named[name] for name in expected])
        takes = f"the stream takes {', '.join(self._names)}"
        if unknown := [name for name in named if name not in expected]:
            why = "given twice" if unknown[0] in self._names else "unknown"
            raise RunError(f"input {unknown[0]}: {why}, {takes}")
        raise RunError(f"{len(chunks) + len(named)} chunks given, {takes}")

    def _known_rate(self) -> float:
        if self._rate is None:
            raise RunError(
                "the stream has no rate, so frames are no seconds: begin it with one, "
                "stream(rate=16000)"
            )
        return self._rate

    def arranged(self, chunk: Any) -> tuple[Any, ...]:
        """What the engine takes for a chunk: an array, a tuple or a mapping of them."""
        if isinstance(chunk, Mapping):
            return self._in_order((), dict(chunk))
        return self._in_order(chunk if isinstance(chunk, tuple) else (chunk,), {})

    def unpacked(self, outputs: tuple[Any, ...]) -> Any:
        """What people get for the engine's outputs: the only one, or all."""
        if self._pairs is not None:
            outputs = self._pairs.joined(outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        return _told(type(self).__name__, self._runnable.model, self.position, self.ended)


class Stream(BaseStream):
    """One stream through a pulsed model.

    All that `push` and `flush` give, put end to end along the axis of the frames, is what the
    batch model gives for all that was pushed.
    """

    _native: _native.Stream

    def fork(self) -> Stream:
        """Gives a second stream that has come as far as this one and goes its own way."""
        return Stream(self._native.fork(), self._runnable, self._rate)

    def snapshot(self) -> StreamSnapshot:
        """Gives the stream as it is now, to come back to by `restore`, as often as you like."""
        native = self._native.fork()
        return StreamSnapshot(native, self._runnable, native.position(), native.ended())

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Goes back, or forth, to what a snapshot holds, the values of its fixed inputs included.

        Args:
            snapshot: of this stream, or of another one of the same `PulsedRunnable`.

        Raises:
            RunError: it is of another `PulsedRunnable`'s stream. The stream is as it was before.
        """
        if snapshot._runnable is not self._runnable:  # noqa: SLF001  (its other half)
            raise RunError(
                f"restore({snapshot!r}): it is of a stream through another runnable; take it of "
                "a stream that began with the same PulsedRunnable"
            )
        self._native = snapshot._native.fork()  # noqa: SLF001


def checked_rate(rate: object) -> float:
    """Gives frames in a second as a `float`.

    Raises:
        ValueError: `rate` is not above zero, or not finite.
        TypeError: it is no number.
    """
    if isinstance(rate, bool) or not isinstance(rate, Real):
        raise TypeError(
            f"rate: a {type(rate).__name__} is no number of frames in a second; the value of an "
            "input that is called rate goes into the mapping: stream({'rate': value})"
        )
    try:
        frames = float(rate)
    except OverflowError:
        frames = math.inf
    if not 0 < frames < math.inf:
        raise ValueError(f"rate={rate}: frames in a second are above zero and finite")
    return frames


def _told(kind: str, model: PulsedModel, position: int, ended: bool) -> str:
    state = "ended" if ended else "open"
    return f"{kind}({state}, {model.symbol}={position}, pulse {model.pulse_size})"
