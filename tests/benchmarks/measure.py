"""Contenders that take turns, so that what slows the machine down slows all of them.

(pytest-benchmark times one function after the other, and minutes lie between two of them.)
"""

from __future__ import annotations

import random
import statistics
import time
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

__all__ = ["Samples", "alternate", "race"]

K = TypeVar("K")
T = TypeVar("T")

# Idle worker threads of OpenMP and onnxruntime spin for some milliseconds after a run.
_SETTLE_SECONDS = 0.05


@dataclass(frozen=True)
class Samples:
    """What one contender took, once for each round."""

    name: str
    values: list[float]

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "name": self.name,
            "minimum": self.minimum,
            "median": self.median,
            "all": self.values,
        }


def alternate(contenders: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """Call all contenders once a round, in another order each time, and collect their results."""
    shuffled = random.Random(0)
    found: dict[K, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in shuffled.sample(list(contenders), len(contenders)):
            time.sleep(_SETTLE_SECONDS)
            found[name].append(contenders[name]())
    return found


def race(
    contenders: Mapping[str, Callable[[], object]], rounds: int, calls: int = 1
) -> dict[str, Samples]:
    """Seconds that a call of each contender took, the mean of so many calls in each round.

    A first turn of each does not count.
    """
    turns = {name: partial(_seconds, call, calls) for name, call in contenders.items()}
    alternate(turns, rounds=1)
    return {name: Samples(name, values) for name, values in alternate(turns, rounds).items()}


def _seconds(call: Callable[[], object], calls: int) -> float:
    return timeit.timeit(call, number=calls) / calls
