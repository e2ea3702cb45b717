"""What the stream server's connections share, without any network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import torchtract as tt
from serving.rate import Rate
from serving.refused import Refused
from serving.turns import Turns
from torchtract.errors import RunError

Array = npt.NDArray[np.float32]
Push = Callable[[Mapping[tt.PooledStream, Any]], dict[tt.PooledStream, Any]]


@pytest.fixture
def pool(archive: Path) -> tt.StreamPool:
    runnable = tt.load(archive).compile()
    assert isinstance(runnable, tt.PulsedRunnable)
    return runnable.streams(4)


def some_features(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 3, 40), np.float32)


@asynccontextmanager
async def running(turns: Turns, streams: int) -> AsyncIterator[list[tt.PooledStream]]:
    task = asyncio.create_task(turns.run())
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(turns.stream()) for _ in range(streams)]
    task.cancel()


def outcomes(turns: Turns, streams: int) -> list[Any]:
    """What each stream gets when all push at once."""

    async def push() -> list[Any]:
        async with running(turns, streams) as all_of_them:
            asked = (turns.compute(s, some_features(i)) for i, s in enumerate(all_of_them))
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(push())


def with_push(pool: tt.StreamPool, push: Push, monkeypatch: pytest.MonkeyPatch) -> Turns:
    monkeypatch.setattr(pool, "push", push)
    return Turns(pool, linger=0.05)


def test_chunks_that_come_at_once_are_pushed_together(
    pool: tt.StreamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = []
    push = pool.push

    def counted(chunks: Mapping[tt.PooledStream, Any]) -> dict[tt.PooledStream, Any]:
        together.append(len(chunks))
        return push(chunks)

    given = outcomes(with_push(pool, counted, monkeypatch), 4)

    assert together == [4]
    for i, frames in enumerate(given):
        np.testing.assert_allclose(frames, pool.runnable.stream().push(some_features(i)), atol=1e-6)
    assert len(pool) == 0


def test_frames_that_a_failed_turn_took_are_not_computed_twice(
    pool: tt.StreamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(chunks: Mapping[tt.PooledStream, Any]) -> dict[tt.PooledStream, Any]:
        first = next(iter(chunks))
        first.push(chunks[first])
        raise RunError("out of luck")

    lost, *others = outcomes(with_push(pool, failing, monkeypatch), 3)

    assert isinstance(lost, Refused)
    assert (lost.code, str(lost)) == (1011, "out of luck")
    for i, frames in enumerate(others, 1):
        np.testing.assert_allclose(frames, pool.runnable.stream().push(some_features(i)), atol=1e-6)


def test_an_unexpected_error_reaches_who_asked_and_turns_go_on(
    pool: tt.StreamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = pool.push

    def failing_once(_: object) -> dict[tt.PooledStream, Any]:
        monkeypatch.setattr(pool, "push", push)
        raise MemoryError

    turns = with_push(pool, failing_once, monkeypatch)

    async def ask_twice() -> Any:
        async with running(turns, 1) as [stream]:
            with pytest.raises(MemoryError):
                await turns.compute(stream, some_features())
            return await turns.compute(stream, some_features())

    frames = asyncio.run(ask_twice())

    assert np.array_equal(frames, pool.runnable.stream().push(some_features()))


def test_who_gives_up_while_waiting_takes_no_one_along(pool: tt.StreamPool) -> None:
    turns = Turns(pool, linger=0.05)

    async def impatient() -> None:
        async with turns.stream() as stream:
            await turns.compute(stream, some_features())

    async def give_up() -> Any:
        async with running(turns, 1) as [stream]:
            task = asyncio.create_task(impatient())
            other = asyncio.create_task(turns.compute(stream, some_features()))
            await asyncio.sleep(0.02)
            assert len(pool) == 2
            task.cancel()
            frames = await other
            assert len(pool) == 1
            return frames

    frames = asyncio.run(give_up())

    assert np.array_equal(frames, pool.runnable.stream().push(some_features()))


def test_who_gives_up_while_it_is_computed_takes_no_one_along(
    pool: tt.StreamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = pool.push
    loop_calls: list[Callable[[], object]] = []

    def interrupted(chunks: Mapping[tt.PooledStream, Any]) -> dict[tt.PooledStream, Any]:
        for call in loop_calls:
            call()
        return push(chunks)

    turns = with_push(pool, interrupted, monkeypatch)

    async def give_up() -> Any:
        async with running(turns, 1) as [stream]:

            async def impatient() -> None:
                async with turns.stream() as other:
                    await turns.compute(other, some_features())

            task = asyncio.create_task(impatient())
            loop = asyncio.get_running_loop()
            loop_calls.append(lambda: loop.call_soon_threadsafe(task.cancel))
            frames = await turns.compute(stream, some_features())
            await asyncio.wait([task])
            assert task.cancelled()
            assert len(pool) == 1
            return frames

    frames = asyncio.run(give_up())

    assert np.array_equal(frames, pool.runnable.stream().push(some_features()))


def test_the_rate_is_that_of_the_last_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rate = Rate()
    assert rate.per_second() == 0

    rate.add(50)
    now[0] = 105
    rate.add(20)

    assert rate.per_second() == 7
    now[0] = 111
    assert rate.per_second() == 2
    now[0] = 200
    assert rate.per_second() == 0
