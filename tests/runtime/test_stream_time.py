"""Streams in seconds, and streams that go back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from graphs import archive
from runtime.conftest import SMOOTH
from torchtract import PulsedRunnable, load
from torchtract.errors import RunError

Array = npt.NDArray[Any]

GAINED = """
extension tract_symbol S;
graph net(x, rate) -> (y) {
    x = tract_core_external(shape = [S], datum_type = 'f32');
    rate = tract_core_external(shape = [1], datum_type = 'f32');
    y = x * rate;
}
"""
FIRST, SECOND = (np.random.default_rng(seed).standard_normal((2, 1, 13)) for seed in (0, 1))


@pytest.fixture(scope="module")
def smooth() -> PulsedRunnable:
    return load(archive(SMOOTH)).pulse(S=4).compile()


def gained() -> PulsedRunnable:
    return load(archive(GAINED)).pulse(S=4).compile()


def frames(x: Array, start: int, end: int) -> Array:
    return x[:, :, start:end].astype(np.float32)


@pytest.mark.parametrize("rate", [8, 8.0, np.float32(8), np.int64(8), Fraction(8)], ids=repr)
def test_position_and_latency_in_seconds(smooth: PulsedRunnable, rate: Any) -> None:
    stream = smooth.stream(rate=rate)
    assert (stream.seconds, stream.latency, stream.latency_seconds) == (0, 4, 0.5)
    stream.push(frames(FIRST, 0, 6))
    assert (stream.rate, stream.seconds) == (8.0, 0.75)


def test_a_stream_without_a_rate_tells_no_seconds(smooth: PulsedRunnable) -> None:
    stream = smooth.stream()
    assert stream.rate is None
    for name in ("seconds", "latency_seconds"):
        with pytest.raises(RunError, match=r"no rate.*stream\(rate=16000\)"):
            getattr(stream, name)


def test_the_rate_stays(smooth: PulsedRunnable) -> None:
    stream = smooth.stream(rate=2)
    stream.push(frames(FIRST, 0, 6))
    assert stream.fork().seconds == 3.0
    snapshot = stream.snapshot()
    stream.reset()
    assert stream.seconds == 0.0
    stream.restore(snapshot)
    assert stream.seconds == 3.0
    list(stream.over([frames(FIRST, 6, 10)]))
    assert stream.seconds == 5.0


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        *((rate, ValueError) for rate in (0, -16000, float("inf"), float("nan"), 10**400)),
        *((rate, TypeError) for rate in ("16000", True, np.ones(1), 1j)),
    ],
    ids=lambda value: repr(value)[:9],
)
def test_refuses_what_is_no_rate(smooth: PulsedRunnable, rate: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^rate"):
        smooth.stream(rate=rate)


def test_an_input_may_be_called_rate() -> None:
    gain: Any = np.array([3.0], np.float32)
    x = np.ones(4, np.float32)
    with pytest.raises(TypeError, match=r"stream\({'rate': value}\)"):
        gained().stream(rate=gain)
    stream = gained().stream({"rate": gain}, rate=4)
    assert stream.push(x).tolist() == [3.0] * 4
    assert stream.seconds == 1.0


def test_a_snapshot_is_gone_back_to_again_and_again(smooth: PulsedRunnable) -> None:
    stream = smooth.stream()
    stream.push(frames(FIRST, 0, 6))
    snapshot = stream.snapshot()
    assert (snapshot.position, snapshot.ended) == (6, False)
    assert repr(snapshot) == "StreamSnapshot(open, S=6, pulse 4)"

    def rest(x: Array) -> Array:
        return np.concatenate([stream.push(frames(x, 6, 13)), stream.flush()], axis=2)

    ends = [rest(FIRST)]
    for x in (SECOND, FIRST, FIRST):
        assert stream.ended
        stream.restore(snapshot)
        assert (stream.position, stream.ended) == (6, False)
        ends.append(rest(x))
    assert not np.allclose(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])
    np.testing.assert_array_equal(ends[0], ends[3])
    whole = smooth.stream()
    expected = np.concatenate([whole.push(frames(FIRST, 0, 13)), whole.flush()], axis=2)
    np.testing.assert_array_equal(ends[0], expected[:, :, -ends[0].shape[2] :])


def test_a_snapshot_of_the_end_is_ended(smooth: PulsedRunnable) -> None:
    stream = smooth.stream()
    stream.push(frames(FIRST, 0, 3))
    stream.flush()
    snapshot = stream.snapshot()
    stream.reset()
    stream.restore(snapshot)
    assert snapshot.ended
    with pytest.raises(RunError, match="was flushed"):
        stream.push(frames(FIRST, 0, 1))


def test_a_snapshot_brings_its_fixed_inputs_to_other_streams() -> None:
    runnable = gained()
    x = np.ones(4, np.float32)
    one, other = (runnable.stream({"rate": np.array([gain], np.float32)}) for gain in (2, 5))
    other.restore(one.snapshot())
    assert other.push(x).tolist() == [2.0] * 4
    stranger = gained().stream({"rate": np.array([7], np.float32)})
    with pytest.raises(RunError, match=r"restore\(StreamSnapshot.*another runnable"):
        stranger.restore(one.snapshot())
    assert stranger.push(x).tolist() == [7.0] * 4
