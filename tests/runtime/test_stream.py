from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import archive
from runtime.conftest import SMOOTH
from torchtract import Model, PulsedRunnable, Runnable, load
from torchtract.errors import RunError, SymbolError

Array: TypeAlias = npt.NDArray[Any]
Pair: TypeAlias = tuple[Runnable, PulsedRunnable]

LIMITED = """
extension tract_symbol S;
extension tract_assert S >= 3;
extension tract_assert S <= 10;
graph net(x) -> (y) {
    x = tract_core_external(shape = [S], datum_type = 'f32');
    y = x * 2.0;
}
"""
TABLE = """
extension tract_symbol S;
graph net(ids) -> (rows) {
    ids = tract_core_external(shape = [S], datum_type = 'i64');
    table = [1.0, 2.0, 3.0, 4.0];
    sums = tract_core_cumsum(ids, axis = 0, exclusive = false, reverse = false);
    rows = tract_core_gather(table, sums, axis = 0);
}
"""
TWO = """
extension tract_symbol S;
graph net(x, y, gain) -> (sum, fast, fixed) {
    x = tract_core_external(shape = [S, 2], datum_type = 'f32');
    y = tract_core_external(shape = [1, 1, 2*S], datum_type = 'f32');
    gain = tract_core_external(shape = [2], datum_type = 'f32');
    kernel = [[[0.25, 0.5, 0.25]]];
    fast = conv(y, kernel, 0.0, padding = [(1, 1)]);
    sum = x * unsqueeze(gain, axes = [0]);
    fixed = gain * 2.0;
}
"""


def model(text: str) -> Model:
    return load(archive(text))


@pytest.fixture(scope="module")
def smooth() -> Pair:
    batch = model(SMOOTH)
    return batch.compile(), batch.pulse(S=4).compile()


def signal(frames: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((2, 1, frames)).astype(np.float32)


@given(chunks=st.lists(st.integers(0, 11), max_size=9))
def test_gives_what_the_batch_model_gives_however_it_is_cut(
    smooth: Pair, chunks: list[int]
) -> None:
    batch, pulsed = smooth
    x = signal(sum(chunks))
    stream = pulsed.stream()
    outputs = [stream.push(x[:, :, :0])]
    at = 0
    for chunk in chunks:
        outputs.append(stream.push(x[:, :, at : at + chunk]))
        at += chunk
        assert stream.position == at
    outputs.append(stream.flush())
    np.testing.assert_allclose(np.concatenate(outputs, axis=2), batch(x), atol=1e-6)


def test_frames_come_as_soon_as_they_can(smooth: Pair) -> None:
    stream = smooth[1].stream()
    counts = [stream.push(signal(1)).shape[2] for _ in range(9)]
    assert counts == [0, 0, 0, 3, 0, 0, 0, 4, 0]
    assert stream.flush().shape == (2, 1, 2)
    assert stream.latency == 4


def test_warm_up_frames_reach_nobody(smooth: Pair) -> None:
    batch, pulsed = smooth
    x = signal(8)
    firsts = [pulsed.stream().push(x) for _ in range(5)]
    for first in firsts:
        np.testing.assert_allclose(first, batch(x)[:, :, :7], atol=1e-6)


def test_a_fork_goes_its_own_way(smooth: Pair) -> None:
    batch, pulsed = smooth
    x, other = signal(13), signal(13, seed=1)
    stream = pulsed.stream()
    head = stream.push(x[:, :, :6])
    fork = stream.fork()
    ends = [
        np.concatenate([head, one.push(y[:, :, 6:]), one.flush()], axis=2)
        for one, y in ((stream, x), (fork, np.concatenate([x[:, :, :6], other[:, :, 6:]], axis=2)))
    ]
    np.testing.assert_allclose(ends[0], batch(x), atol=1e-6)
    y = np.concatenate([x[:, :, :6], other[:, :, 6:]], axis=2)
    np.testing.assert_allclose(ends[1], batch(y), atol=1e-6)


def test_a_reset_stream_begins_anew(smooth: Pair) -> None:
    batch, pulsed = smooth
    stream = pulsed.stream()
    stream.push(signal(7, seed=3))
    stream.flush()
    assert stream.ended
    with pytest.raises(RunError, match="the stream was flushed"):
        stream.push(signal(1))
    with pytest.raises(RunError, match="the stream was flushed"):
        stream.flush()
    stream.reset()
    assert (stream.position, stream.ended) == (0, False)
    x = signal(9)
    whole = np.concatenate([stream.push(x), stream.flush()], axis=2)
    np.testing.assert_allclose(whole, batch(x), atol=1e-6)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((2, 1, 3)), "dtype must be float32"),
        (np.zeros((2, 2, 3), np.float32), "axis 1 must be 1"),
        (np.zeros((2, 3), np.float32), "x"),
        (np.zeros((3, 1, 3), np.float32), "the chunk has B=3, the stream began with B=2"),
        ("frames", "is no array|lacks"),
    ],
)
def test_a_chunk_that_does_not_fit_changes_nothing(smooth: Pair, chunk: Any, message: str) -> None:
    batch, pulsed = smooth
    x = signal(11)
    stream = pulsed.stream()
    first = stream.push(x[:, :, :5])
    with pytest.raises(RunError, match=message):
        stream.push(chunk)
    rest = [stream.push(x[:, :, 5:]), stream.flush()]
    np.testing.assert_allclose(np.concatenate([first, *rest], axis=2), batch(x), atol=1e-6)


def test_a_failure_inside_of_tract_changes_nothing() -> None:
    batch = model(TABLE)
    stream = batch.pulse(S=2).compile().stream()
    first = stream.push(np.array([1, 0], np.int64))
    with pytest.raises(RunError):
        stream.push(np.array([1, 0, 9, 0], np.int64))
    rest = [stream.push(np.array([1, 1], np.int64)), stream.flush()]
    expected = batch.compile()(np.array([1, 0, 1, 1], np.int64))
    np.testing.assert_array_equal(np.concatenate([first, *rest]), expected)


def test_a_stream_keeps_to_the_file_s_assertions() -> None:
    stream = model(LIMITED).pulse(S=4).compile().stream()
    stream.push(np.ones(2, np.float32))
    with pytest.raises(SymbolError, match="S=2 is not allowed: the model asserts"):
        stream.flush()
    stream.push(np.ones(8, np.float32))
    with pytest.raises(SymbolError, match="S=11 is not allowed: the model asserts"):
        stream.push(np.ones(1, np.float32))
    assert stream.position == 10
    assert stream.flush().shape == (2,)


def test_inputs_and_outputs_have_their_own_axes_and_lengths() -> None:
    batch = model(TWO)
    pulsed = batch.pulse(S=2)
    assert pulsed.output_streams["fixed"] is None
    random = np.random.default_rng(0)
    x = random.standard_normal((7, 2)).astype(np.float32)
    y = random.standard_normal((1, 1, 14)).astype(np.float32)
    gain = np.array([1.0, -2.0], np.float32)
    stream = pulsed.compile().stream(gain=gain)
    sums, fasts = [], []
    for start, end in ((0, 1), (1, 1), (1, 6), (6, 7)):
        total, fast, fixed = stream.push(x[start:end], y=y[:, :, 2 * start : 2 * end])
        assert fixed is None
        sums.append(total)
        fasts.append(fast)
    total, fast, fixed = stream.flush()
    expected = batch.compile()(x, y, gain)
    np.testing.assert_allclose(np.concatenate([*sums, total]), expected[0], atol=1e-6)
    np.testing.assert_allclose(np.concatenate([*fasts, fast], axis=2), expected[1], atol=1e-6)
    np.testing.assert_allclose(fixed, expected[2])


def test_chunks_cover_the_same_stretch_of_time() -> None:
    pulsed = model(TWO).pulse(S=2).compile()
    with pytest.raises(RunError, match=r"input gain.*missing"):
        pulsed.stream()
    stream = pulsed.stream(gain=np.ones(2, np.float32))
    x, y = np.ones((3, 2), np.float32), np.ones((1, 1, 4), np.float32)
    for chunks, named, message in (
        ((x, y), {}, r"axis 2 must be 6|axis 2 must be 2\*S"),
        ((x,), {}, "1 chunks given, the stream takes x, y"),
        ((x, y, x), {}, "3 chunks given"),
        ((x,), {"z": y}, "input z: unknown"),
        ((x, y), {"y": y}, "input y: given twice"),
    ):
        with pytest.raises(RunError, match=message):
            stream.push(*chunks, **named)
    assert stream.position == 0


def test_an_empty_stream(smooth: Pair) -> None:
    batch, pulsed = smooth
    with pytest.raises(RunError, match="nothing was pushed"):
        pulsed.stream().flush()
    stream = pulsed.stream()
    assert stream.push(signal(0)).shape == (2, 1, 0)
    assert stream.flush().shape == batch(signal(0)).shape == (2, 1, 0)
    assert (
        model(LIMITED.replace("S >= 3", "S >= 0")).pulse(S=4).compile().stream().flush().size == 0
    )


def test_outputs_are_the_caller_s_own(smooth: Pair) -> None:
    stream = smooth[1].stream()
    x = signal(12)
    first = stream.push(x[:, :, :8])
    kept = first.copy()
    x[:] = 0
    stream.push(x[:, :, 8:])
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    assert np.isfinite(stream.flush()).all()


def test_a_source_is_pushed_and_flushed(smooth: Pair) -> None:
    batch, pulsed = smooth
    x = signal(10)
    chunks = [x[:, :, i : i + 3] for i in range(0, 10, 3)]
    whole = np.concatenate(list(pulsed.stream().over(chunks)), axis=2)
    np.testing.assert_allclose(whole, batch(x), atol=1e-6)

    async def microphone() -> AsyncIterator[Array]:
        for chunk in chunks:
            await asyncio.sleep(0)
            yield chunk

    async def listen() -> list[Array]:
        return [frames async for frames in pulsed.stream().over(microphone())]

    np.testing.assert_allclose(np.concatenate(asyncio.run(listen()), axis=2), batch(x), atol=1e-6)


def test_threads_have_streams_of_their_own(smooth: Pair) -> None:
    batch, pulsed = smooth
    wrong = []

    def run(seed: int) -> None:
        x = signal(50, seed)
        got = np.concatenate(
            list(pulsed.stream().over(x[:, :, i : i + 7] for i in range(0, 50, 7))), 2
        )
        if not np.allclose(got, batch(x), atol=1e-6):
            wrong.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    """In a process of its own: other tests' memory comes and goes."""
    file = tmp_path / "smooth.nnef.tgz"
    file.write_bytes(archive(SMOOTH))
    code = f"""
import numpy as np, pathlib, resource, torchtract as tt
stream = tt.load({str(file)!r}).pulse(S=4).compile().stream()
pages = []
for turn in range(20_000):
    stream.push(np.ones((2, 1, 4), np.float32))
    if turn in (2_000, 19_999):
        pages.append(int(pathlib.Path("/proc/self/statm").read_text().split()[1]))
print((pages[1] - pages[0]) * resource.getpagesize())
"""
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert int(out) < 1 << 20
