"""Contenders that take turns, so that whatever slows the machine down slows all of them."""

from __future__ import annotations

import random
import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Samples", "Timings", "alternate", "race", "timed"]

T = TypeVar("T")

# Idle worker threads of OpenMP and onnxruntime spin for some milliseconds after a run.
_SETTLE_SECONDS = 0.05


@dataclass(frozen=True)
class Samples:
    """What one contender took, once for each round."""

    name: str
    values: Sequence[float]

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


Timings = Mapping[str, Samples]


def alternate(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call all contenders once a round, in another order each time, and collect their results."""
    shuffled = random.Random(0)
    found: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in shuffled.sample(list(contenders), len(contenders)):
            time.sleep(_SETTLE_SECONDS)
            found[name].append(contenders[name]())
    return found


def timed(call: Callable[[], object], calls: int = 1) -> Callable[[], float]:
    """A function that makes so many calls and gives the seconds that one took."""
    return lambda: timeit.timeit(call, number=calls) / calls


def race(contenders: Mapping[str, Callable[[], object]], rounds: int, calls: int = 1) -> Timings:
    """Seconds of a call of each contender, after a turn that does not count."""
    turns = {name: timed(call, calls) for name, call in contenders.items()}
    alternate(turns, rounds=1)
    return {name: Samples(name, values) for name, values in alternate(turns, rounds).items()}
