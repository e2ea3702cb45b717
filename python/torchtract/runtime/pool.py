"""Many streams through one model, whose turns are shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torchtract import _native
from torchtract.errors import PoolError, RunError
from torchtract.runtime.stream import BaseStream, checked_rate

if TYPE_CHECKING:
    from torchtract.runtime.pulsed import PulsedRunnable


class PooledStream(BaseStream):
    """One stream of a `StreamPool`. Its batch axis, if the model has one, is 1.

    It has its place in the pool until it is closed, by `close`, at the end of a `with` block, or
    when nothing refers to it any more. Where tract fails in a turn that several streams share, all
    of these are lost: they refuse more until they are reset.
    """

    _native: _native.PoolStream

    def close(self) -> None:
        """Gives its place in the pool to others. Closing it again does nothing."""
        self._native.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._native.closed()

    def __enter__(self) -> PooledStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "PooledStream(closed)" if self.closed else super().__repr__()


class StreamPool:
    """Room for a number of streams through one model.

    What is pushed to several streams at once, by `push` or by several threads, is computed
    together: the network sees a batch of streams, each with a past of its own (tract's lanes). A
    model that has no way to be shared so has a state for each stream, and threads compute several
    at the same time; `apart` says why.

    Attributes:
        runnable: what the streams run through. Its threads compute turns side by side.
        capacity: how many streams there is room for.
        apart: why the streams don't share turns, None where they do.
    """

    def __init__(self, native: _native.Pool, runnable: PulsedRunnable) -> None:
        self._native = native
        self.runnable = runnable
        self.capacity = native.capacity()
        self.apart = native.apart()

    def stream(
        self,
        fixed: Mapping[str, Any] | None = None,
        /,
        *,
        rate: float | None = None,
        **named: Any,
    ) -> PooledStream:
        """Begins a stream.

        Args:
            fixed: as for `PulsedRunnable.stream`.
            rate: likewise.
            named: likewise.

        Raises:
            RunError: there is no room, or as for `PulsedRunnable.stream`.
            ValueError: `rate` is not above zero, or not finite.
            TypeError: it is no number.
        """
        values = self.runnable.fixed_values({**(fixed or {}), **named})
        rate = None if rate is None else checked_rate(rate)
        native = self.runnable.begun(self._native.stream, values)
        return PooledStream(native, self.runnable, rate)

    def push(self, chunks: Mapping[PooledStream, Any], /) -> dict[PooledStream, Any]:
        """Pushes to several streams at once.

        Args:
            chunks: for each stream what `PooledStream.push` takes: an array, a tuple of arrays
                where several inputs stream, or a mapping by the inputs' names.

        Returns:
            For each stream, in the same order, what `PooledStream.push` gives.

        Raises:
            PoolError: some streams raise what `PooledStream.push` does, and are as they were, or
                are another pool's. It has what the others give.
            RunError: chunks are missing or unknown, or a stream is closed or no pool's: no stream
                takes anything.
        """
        streams = list(chunks)
        given = self._native.push(
            self._natives(streams), [stream.arranged(chunks[stream]) for stream in streams]
        )
        return self._by_stream(streams, given)

    def flush(self, streams: Iterable[PooledStream], /) -> dict[PooledStream, Any]:
        """Ends several streams at once; those of the same length share turns.

        Args:
            streams: of this pool.

        Returns:
            For each stream, in the same order, what `PooledStream.flush` gives.

        Raises:
            PoolError: some streams raise what `PooledStream.flush` does, and are as they were, or
                are another pool's. It has what the others give.
            RunError: a stream is closed or no pool's: none ends.
        """
        streams = list(dict.fromkeys(streams))
        return self._by_stream(streams, self._native.flush(self._natives(streams)))

    def __len__(self) -> int:
        """How many streams there are, closed ones not counted."""
        return self._native.taken()

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        how = "in shared turns" if self.apart is None else "each by itself"
        return f"StreamPool({len(self)} of {self.capacity} streams, {how})"

    @staticmethod
    def _natives(streams: list[PooledStream]) -> list[_native.PoolStream]:
        for stream in streams:
            if not isinstance(stream, PooledStream):
                raise RunError(
                    f"{stream!r}: it is no stream of a pool; begin one with StreamPool.stream"
                )
        return [stream._native for stream in streams]  # noqa: SLF001  (its other half)

    def _by_stream(
        self, streams: list[PooledStream], given: list[tuple[Any, ...] | Exception]
    ) -> dict[PooledStream, Any]:
        outputs, errors = {}, {}
        pairs = self.runnable.stream_pairs
        for stream, outcome in zip(streams, given, strict=True):
            if isinstance(outcome, Exception):
                errors[stream] = outcome if pairs is None else pairs.told(outcome)
            else:
                outputs[stream] = stream.unpacked(outcome)
        if errors:
            stream, error = next(iter(errors.items()))
            raise PoolError(
                f"{len(errors)} of {len(streams)} streams, which are as they were: number "
                f"{streams.index(stream)}: {error}",
                errors,
                outputs,
            )
        return outputs
