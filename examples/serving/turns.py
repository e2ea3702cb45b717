"""What many connections want computed, in common turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

from serving.refused import Refused
from torchtract import PooledStream, StreamPool
from torchtract.errors import EngineError

Array: TypeAlias = "npt.NDArray[Any]"
#: What each stream gives, or why it does not.
Given: TypeAlias = "Mapping[PooledStream, Array | Refused]"


class _Job(NamedTuple):
    stream: PooledStream
    chunk: Array | None  # None ends the stream
    done: asyncio.Future[Array]


class Turns:
    """Collects chunks of all connections for a moment, and computes them in one go.

    The network runs in a thread, so connections go on meanwhile, and what they bring is the next
    turn. A connection waits for its chunk, so it never has more than one here.

    Attributes:
        pool: the streams. Only `run` computes with them.
    """

    def __init__(self, pool: StreamPool, linger: float) -> None:
        self.pool = pool
        self._linger = linger
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        # Held while the network runs. A stream that begins or ends would block the event loop.
        self._running = asyncio.Lock()

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[PooledStream]:
        """A stream, closed at the end of the block.

        Raises:
            Refused: the pool is full.
        """
        async with self._running:
            try:
                stream = self.pool.stream()
            except EngineError as error:
                raise Refused(1013, str(error)) from error
        try:
            yield stream
        finally:
            async with self._running:
                stream.close()

    async def compute(self, stream: PooledStream, chunk: Array | None) -> Array:
        """Pushes `chunk`, or flushes where it is None; the frames that are ready.

        Raises:
            Refused: the model does not take it, or tract failed.
        """
        done: asyncio.Future[Array] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(stream, chunk, done))
        return await done

    async def run(self) -> None:
        """Computes until it is cancelled."""
        while True:
            waiting = [await self._jobs.get()]
            await asyncio.sleep(self._linger)
            async with self._running:
                while not self._jobs.empty():
                    waiting.append(self._jobs.get_nowait())
                # Who gave up closes its stream next, or has closed it already.
                jobs = [job for job in waiting if not job.done.cancelled()]
                chunks = {job.stream: job.chunk for job in jobs}
                work = asyncio.to_thread(_compute, self.pool, chunks)
                [given] = await asyncio.gather(work, return_exceptions=True)
            for job in jobs:
                outcome = given if isinstance(given, BaseException) else given[job.stream]
                if job.done.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    job.done.set_exception(outcome)
                else:
                    job.done.set_result(outcome)


def _compute(pool: StreamPool, chunks: Mapping[PooledStream, Array | None]) -> Given:
    pushed = {stream: chunk for stream, chunk in chunks.items() if chunk is not None}
    ended = dict.fromkeys(stream for stream, chunk in chunks.items() if chunk is None)
    return {
        **_each(pool.push, PooledStream.push, pushed),
        **_each(pool.flush, lambda stream, _: stream.flush(), ended),
    }


def _each(
    together: Callable[[Any], dict[PooledStream, Array]],
    alone: Callable[[PooledStream, Any], Array],
    chunks: Mapping[PooledStream, Any],
) -> Given:
    """All at once, or one by one where some can't: the pool then takes no chunk of any."""
    before = {stream: (stream.position, stream.ended) for stream in chunks}
    try:
        return together(chunks)
    except EngineError as error:
        failure = error
    given: dict[PooledStream, Array | Refused] = {}
    for stream, chunk in chunks.items():
        if (stream.position, stream.ended) != before[stream]:
            # tract failed half-way. This stream was through, and what it gave is lost.
            given[stream] = Refused(1011, str(failure))
            continue
        try:
            given[stream] = alone(stream, chunk)
        except EngineError as error:
            given[stream] = Refused(1007, str(error))
    return given
