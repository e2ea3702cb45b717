"""From probabilities to the segments of speech, with the package's thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vad.network import FRAME, RATE

__all__ = ["SILENCE_BELOW", "SPEECH_FROM", "Segment", "Segmenter"]

SPEECH_FROM = 0.5
"""Speech begins at this probability,"""
SILENCE_BELOW = 0.35
"""and ends below this one, after `_MIN_SILENCE`. Between the two, what was before goes on."""
_MIN_SILENCE = RATE * 100 // 1000
_MIN_SPEECH = RATE * 250 // 1000
_MARGIN = RATE * 30 // 1000


@dataclass(frozen=True)
class Segment:
    """A stretch of speech, in seconds from the stream's start."""

    start: float
    end: float


class Segmenter:
    """Finds segments while the probabilities of a stream come in, frame by frame.

    Segments of less than a quarter of a second are left out, the others get 30 ms at both ends.
    """

    def __init__(self) -> None:
        self._now = 0
        self._start: int | None = None  # of the speech that goes on
        self._end: int | None = None  # where it may have ended

    @property
    def in_speech(self) -> bool:
        """Whether a segment is open."""
        return self._start is not None

    def push(self, probabilities: Iterable[float]) -> list[Segment]:
        """Takes the next frames; returns the segments that have ended."""
        ended = []
        for probability in probabilities:
            ended += self._frame(probability)
            self._now += FRAME
        return ended

    def flush(self, samples: int) -> list[Segment]:
        """Ends the stream, of so many samples; returns the segment that was open, if any."""
        return self._close(samples, samples)

    def _frame(self, probability: float) -> list[Segment]:
        if probability >= SPEECH_FROM:
            self._end = None
            if self._start is None:
                self._start = self._now
        elif probability < SILENCE_BELOW and self._start is not None:
            if self._end is None:
                self._end = self._now
            if self._now - self._end >= _MIN_SILENCE:
                return self._close(self._end, self._now)
        return []

    def _close(self, end: int, limit: int) -> list[Segment]:
        start, self._start, self._end = self._start, None, None
        if start is None or end - start <= _MIN_SPEECH:
            return []
        margins = max(start - _MARGIN, 0), min(end + _MARGIN, limit)
        return [Segment(margins[0] / RATE, margins[1] / RATE)]
