"""How much goes through."""

from __future__ import annotations

import time
from collections import deque

SECONDS = 10


class Rate:
    """Frames per second, over the last ten."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def add(self, frames: int) -> None:
        """Counts frames as of now."""
        self._counts.append((time.monotonic(), frames))
        self._forget()

    def per_second(self) -> float:
        """The mean; in the first seconds of a server it is too low."""
        self._forget()
        return sum(frames for _, frames in self._counts) / SECONDS

    def _forget(self) -> None:
        while self._counts and self._counts[0][0] < time.monotonic() - SECONDS:
            self._counts.popleft()
