"""Pools of streams: what they refuse, and what their threads may do."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from harness import export
from streaming.streamable import Output
from torchtract import Model, PulsedRunnable
from torchtract.errors import PulseError, RunError

FRAMES = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))


class Causal(nn.Module):
    """A convolution over two frames, then a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 2)
        self.memory = Output(nn.GRU(4, 5, batch_first=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.memory(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return y


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return export(Causal(), FRAMES, dynamic_axes={"x": {0: "B", 1: "S"}}, input_names=["x"])


@pytest.fixture(scope="module")
def runnable(model: Model) -> PulsedRunnable:
    return model.pulse(S=2).compile(threads=2)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_pool_has_room_for_so_many(runnable: PulsedRunnable) -> None:
    pool = runnable.streams(3)
    assert (pool.capacity, len(pool), pool.apart) == (3, 0, None)
    streams = [pool.stream() for _ in range(3)]
    with pytest.raises(RunError, match="has 3 streams, as many as it has room for: close one"):
        pool.stream()
    with streams[0]:
        assert not streams[0].closed
    assert streams[0].closed
    streams[0].close()
    assert len(pool) == 2
    with pytest.raises(RunError, match="the stream is closed: begin another"):
        streams[0].push(noise(1, 2, 3))
    assert repr(streams[0]) == "PooledStream(closed)"
    assert repr(pool) == "StreamPool(2 of 3 streams, in shared turns)"
    del streams
    gc.collect()
    assert len(pool) == 0
    assert pool.stream().position == 0


def test_a_lane_forgets_the_stream_that_had_it(runnable: PulsedRunnable) -> None:
    pool = runnable.streams(1)
    x = noise(1, 8, 3)
    with pool.stream() as first:
        expected = first.push(x)
    with pool.stream() as second:
        np.testing.assert_allclose(second.push(x), expected, atol=1e-6)
        second.reset()
        np.testing.assert_allclose(second.push(x), expected, atol=1e-6)


def test_streams_of_any_age_share_turns(runnable: PulsedRunnable) -> None:
    pool = runnable.streams(4)
    old, young = pool.stream(), pool.stream()
    alone_old, alone_young = runnable.stream(), runnable.stream()
    x = noise(1, 20, 3)
    np.testing.assert_allclose(old.push(x), alone_old.push(x), atol=1e-6)
    given = pool.push({old: x[:, 3:10], young: x[:, :9]})
    np.testing.assert_allclose(given[old], alone_old.push(x[:, 3:10]), atol=1e-6)
    np.testing.assert_allclose(given[young], alone_young.push(x[:, :9]), atol=1e-6)
    last = pool.flush([old, young])
    np.testing.assert_allclose(last[old], alone_old.flush(), atol=1e-6)
    np.testing.assert_allclose(last[young], alone_young.flush(), atol=1e-6)
    assert old.ended
    with pytest.raises(RunError, match="the stream was flushed"):
        old.push(x)


def test_if_one_refuses_none_takes_anything(runnable: PulsedRunnable) -> None:
    pool = runnable.streams(2)
    one, other = pool.stream(), pool.stream()
    x = noise(1, 4, 3)
    with pytest.raises(RunError, match=r"stream 1: input x: .*axis 2 must be 3"):
        pool.push({one: x, other: noise(1, 4, 5)})
    assert (one.position, other.position) == (0, 0)
    with pytest.raises(RunError, match="B=2: a pool takes each stream by itself"):
        one.push(noise(2, 4, 3))
    with pytest.raises(RunError, match="2 chunks given, the stream takes x"):
        pool.push({one: (x, x)})
    with pytest.raises(RunError, match="it is a stream of another pool"):
        runnable.streams(1).push({one: x})
    with pytest.raises(RunError, match="it is no stream of a pool"):
        pool.push({runnable.stream(): x})  # type: ignore[dict-item]
    assert pool.push({}) == {}
    np.testing.assert_allclose(pool.push({one: {"x": x}})[one], other.push(x), atol=1e-6)


def test_threads_push_at_once(runnable: PulsedRunnable) -> None:
    pool = runnable.streams(8)
    audio = noise(8, 200, 3)

    def listen(i: int) -> np.ndarray:
        with pool.stream() as stream:
            chunks = [audio[i : i + 1, at : at + 7] for at in range(0, 200, 7)]
            return np.concatenate([*map(stream.push, chunks), stream.flush()], axis=1)

    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(listen, range(8)))
    for i, frames in enumerate(given):
        alone = runnable.stream()
        expected = np.concatenate([alone.push(audio[i : i + 1]), alone.flush()], axis=1)
        np.testing.assert_allclose(frames, expected, atol=1e-5)
    assert len(pool) == 0


def test_without_a_batch_axis_one_is_added() -> None:
    torch.manual_seed(0)
    net = nn.Conv1d(3, 4, 2)
    runnable = exported_without_batch(lambda x: net(x.T).T)
    pool = runnable.streams(3)
    assert pool.apart is None
    streams = [pool.stream() for _ in range(3)]
    x = noise(3, 12, 3)
    given = pool.push({stream: x[i] for i, stream in enumerate(streams)})
    for i, stream in enumerate(streams):
        assert given[stream].shape == (11, 4)
        np.testing.assert_allclose(given[stream], runnable.stream().push(x[i]), atol=1e-6)


def test_a_batch_axis_that_tract_cant_add() -> None:
    net = Causal()
    runnable = exported_without_batch(lambda x: net(x[None])[0])
    assert "export it with a dynamic batch axis" in str(runnable.streams(3).apart)


def exported_without_batch(function: Callable[[torch.Tensor], torch.Tensor]) -> PulsedRunnable:
    model = export(function, FRAMES[0], dynamic_axes={"x0": {0: "S"}})
    return model.pulse(S=2).compile()


def test_what_goes_along_the_batch_keeps_streams_apart() -> None:
    model = export(lambda x: torch.softmax(x, 0), FRAMES, dynamic_axes={"x0": {0: "B", 1: "S"}})
    runnable = model.pulse(S=2).compile(threads=2)
    with pytest.raises(PulseError, match="Softmax output: streams can't share turns: one item"):
        runnable.streams(2, batched=True)
    pool = runnable.streams(2)
    assert pool.apart is not None
    assert "one item of a batch may depend on another" in pool.apart
    assert repr(pool) == "StreamPool(0 of 2 streams, each by itself)"
    streams = [pool.stream(), pool.stream()]
    x = noise(2, 4, 3)
    given = pool.push({stream: x[i : i + 1] for i, stream in enumerate(streams)})
    for i, stream in enumerate(streams):
        np.testing.assert_allclose(given[stream], runnable.stream().push(x[i : i + 1]))
        assert stream.flush().shape[1] == 0
    assert runnable.streams(2, batched=False).apart == "batched=False"


def test_room_for_none(runnable: PulsedRunnable) -> None:
    with pytest.raises(ValueError, match=r"streams\(0\): room for at least one"):
        runnable.streams(0)
