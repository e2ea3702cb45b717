"""Streams that share turns, each held against the same stream alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from torchtract import Model, PooledStream, PulsedModel, Stream, StreamPool
from torchtract.errors import SymbolError
from torchtract.sizes import evaluate

__all__ = ["Pair", "assert_pool_is_right"]

Array = npt.NDArray[Any]


class Pair:
    """A stream in a pool, and one alone that gets the same chunks."""

    def __init__(self, pool: StreamPool, fixed: Mapping[str, Array]) -> None:
        self.pooled: PooledStream = pool.stream(fixed)
        self.alone: Stream = pool.runnable.stream(fixed)
        self.frames = 0

    def expect(self, given: Any, expected: Any) -> None:
        """Compares what both gave."""
        ours = given if isinstance(given, tuple) else (given,)
        theirs = expected if isinstance(expected, tuple) else (expected,)
        for x, y in zip(ours, theirs, strict=True):
            if y is None:
                assert x is None
                continue
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
            self.frames += x.size

    def end(self) -> None:
        """Flushes both: they give the same, or refuse with the same words."""
        try:
            expected = self.alone.flush()
        except SymbolError as error:
            with pytest.raises(SymbolError, match=f"^{re.escape(str(error))}$"):
                self.pooled.flush()
        else:
            self.expect(self.pooled.flush(), expected)


def assert_pool_is_right(model: Model, pulsed: PulsedModel, seed: int = 0) -> StreamPool:
    """Four streams in shared turns, which come and go, by chunks of random lengths."""
    random = np.random.default_rng(seed)
    sizes = {symbol: 1 for symbol in model.symbols if symbol != pulsed.symbol}

    def inputs(length: int) -> dict[str, Array]:
        at = {**sizes, pulsed.symbol: length}
        given = {}
        for fact in model.inputs:
            shape = [n if isinstance(n, int) else evaluate(n, at) for n in fact.shape]
            integers = np.dtype(fact.dtype).kind in "biu"
            values = random.integers(0, 2, shape) if integers else random.standard_normal(shape)
            given[fact.name] = values.astype(fact.dtype)
        return given

    def streaming(length: int) -> dict[str, Array]:
        return {k: v for k, v in inputs(length).items() if pulsed.input_streams[k]}

    def begin() -> Pair:
        fixed = {k: v for k, v in inputs(0).items() if not pulsed.input_streams[k]}
        return Pair(pool, fixed)

    pool = pulsed.compile(threads=2).streams(5)
    pairs = [begin() for _ in range(4)]
    given = 0
    for turn in range(6):
        if turn == 3:
            given += pairs[0].frames
            pairs[0].pooled.close()
            pairs[0] = begin()
        chunks = {
            pair: streaming(int(random.integers(0, 3 * pulsed.pulse_size + 1)))
            for pair in pairs
            if random.random() < 0.8
        }
        outputs = pool.push({pair.pooled: chunk for pair, chunk in chunks.items()})
        for pair, chunk in chunks.items():
            pair.expect(outputs[pair.pooled], pair.alone.push(**chunk))
    for pair in pairs:
        pair.end()
    assert given + sum(pair.frames for pair in pairs) > 0
    assert len(pool) == 4
    return pool
