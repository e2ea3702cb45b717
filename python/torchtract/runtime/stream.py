"""Streams: chunks of any length in, the frames of the batch model out."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from torchtract import _native
from torchtract.errors import RunError

if TYPE_CHECKING:
    from torchtract.runtime.pulsed import PulsedRunnable


class Stream:
    """One stream through a pulsed model.

    All that `push` and `flush` give, put end to end along the axis of the frames, is what the
    batch model gives for all that was pushed.
    """

    def __init__(self, native: _native.Stream, runnable: PulsedRunnable) -> None:
        self._native = native
        self._runnable = runnable
        streams = runnable.model.input_streams
        self._names = [fact.name for fact in runnable.stream_inputs if streams[fact.name]]

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
        return self._unpack(self._native.push(self._in_order(chunks, named)))

    def flush(self) -> Any:
        """Ends the stream and gives the frames that were still to come.

        Returns:
            As `push`, and the whole of an output that does not stream.

        Raises:
            RunError: it was flushed already, nothing was ever pushed while sizes of the outputs
                depend on what is, or tract fails. The stream is as it was before.
            SymbolError: an assertion of the file forbids the stream's length; likewise.
        """
        return self._unpack(self._native.flush())

    def reset(self) -> None:
        """Goes back to the start, with the same values for the inputs that don't stream."""
        self._native.reset()

    def fork(self) -> Stream:
        """Gives a second stream that has come as far as this one and goes its own way."""
        return Stream(self._native.fork(), self._runnable)

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
        model = self._runnable.model
        behind = [
            -(-stream.delay * model.pulse_size // stream.pulse)
            for stream in model.output_streams.values()
            if stream
        ]
        return max(behind) + model.pulse_size - 1

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
        expected = self._names[len(chunks) :]
        if len(chunks) <= len(self._names) and set(named) == set(expected):
            return (*chunks, *[named[name] for name in expected])
        takes = f"the stream takes {', '.join(self._names)}"
        if unknown := [name for name in named if name not in expected]:
            why = "given twice" if unknown[0] in self._names else "unknown"
            raise RunError(f"input {unknown[0]}: {why}, {takes}")
        raise RunError(f"{len(chunks) + len(named)} chunks given, {takes}")

    @staticmethod
    def _unpack(outputs: tuple[Any, ...]) -> Any:
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        model = self._runnable.model
        state = "ended" if self.ended else "open"
        return f"Stream({state}, {model.symbol}={self.position}, pulse {model.pulse_size})"
