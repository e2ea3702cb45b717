"""Sessions kept for prompts that begin as an earlier text did, and the reading of prompts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np

from torchtract.llm.causal import CausalModel, Logits, Session

if TYPE_CHECKING:
    from torchtract.llm.encoder_decoder import EncoderDecoder

__all__ = ["PromptCache", "PromptReader", "Source", "Steps"]

_Entry = tuple[list[int], Session]

_AS_FAST = 4
"""So many tokens that are read at once take about the time of one that is read alone."""


@dataclass(frozen=True)
class Steps:
    """How many tokens of a prompt are read at once.

    Attributes:
        first: where none was read before.
        later: behind others.
    """

    first: int
    later: int

    @classmethod
    def of(cls, model: CausalModel | EncoderDecoder, chunk: int) -> Steps:
        """Those of `chunk` tokens, as far as the model's assertions allow them."""
        if model.allows(1, 2):
            return cls(chunk, chunk)
        # What does not begin the text is read one by one.
        return cls(sys.maxsize if model.allows(0, 2) else 1, 1)


class PromptCache:
    """The sessions used last. Any number of threads may use it.

    Args:
        model: whose sessions they are.
        size: how many of them are kept, each with the memory of its text; 0 for none.
        steps: how prompts are read.
    """

    def __init__(self, model: CausalModel, size: int, steps: Steps) -> None:
        self._model = model
        self._size = size
        self._steps = steps
        self._entries: list[_Entry] = []  # the one used last is the last
        self._lock = threading.Lock()

    def take(self, tokens: Sequence[int]) -> Session:
        """A session of the caller's own that has read what some text has in common with `tokens`.

        Never all of them: the logits come from reading the last one.
        """
        with self._lock:
            common, place = max(
                ((_common(tokens, read), place) for place, (read, _) in enumerate(self._entries)),
                default=(0, 0),
            )
            common = min(common, len(tokens) - 1)
            if not common or self._is_slower(len(tokens) - common, len(tokens)):
                return self._model.session()
            read, session = self._entries[place]
            # A text that goes another way from here on is kept, unless it would be the next to go.
            if common == len(read) or (place == 0 and len(self._entries) >= self._size):
                del self._entries[place]
            else:
                session = session.fork()
        session.truncate(common)
        return session

    def _is_slower(self, rest: int, whole: int) -> bool:
        """Whether to read what is left takes longer than to read the whole prompt."""
        return self._steps.later < self._steps.first and rest * _AS_FAST > whole

    def give(self, tokens: Sequence[int], session: Session) -> None:
        """Keeps a session that has read `tokens`, or as many of them as its length tells."""
        read = list(tokens[: session.length])
        with self._lock:
            # What begins the same way and ends earlier is of no use any more.
            self._entries = [one for one in self._entries if one[0] != read[: len(one[0])]]
            self._entries.append((read, session))
            del self._entries[: max(len(self._entries) - self._size, 0)]

    def clear(self) -> None:
        """Forgets all sessions."""
        with self._lock:
            self._entries.clear()


class Source(Protocol):
    """Where sessions come from, and where they go when they are done."""

    def take(self, tokens: Sequence[int], /) -> Session:
        """A session of the caller's own that has read some of the first tokens, not all."""

    def give(self, tokens: Sequence[int], session: Session, /) -> None:
        """Takes it back, with the tokens that it has read."""


class PromptReader:
    """Reads a prompt once for all that continue it.

    Args:
        source: where the session comes from.
        tokens: the prompt, or what an answer to a prompt begins with.
        uses: how many continue it; each reads once.
        steps: how many tokens are read in one go.
        length: how many tokens the prompt has, if not these.

    Attributes:
        length: how many tokens the prompt has.
        cached: tokens that were read for an earlier prompt.
        newly_read: the others, as far as they were read.
        seconds: how long that took.
    """

    def __init__(
        self,
        source: Source,
        tokens: Sequence[int],
        uses: int,
        steps: Steps,
        length: int | None = None,
    ) -> None:
        self.tokens = tokens
        self.length = len(tokens) if length is None else length
        self.cached = 0
        self.newly_read = 0
        self.seconds = 0.0
        self._source = source
        self._uses = uses
        self._steps = steps
        self._encoded = length
        self._session: Session | None = None
        self._logits: Logits | None = None
        self._lock = threading.Lock()

    def read(self, cancelled: Callable[[], bool]) -> tuple[Session, Logits] | None:
        """A session that has read all, and the logits of what comes next; None once cancelled."""
        with self._lock:
            if self._session is None:
                self._begin()
            assert self._session is not None
            session = self._session
            while (done := session.length) < len(self.tokens):
                if cancelled():
                    self._uses -= 1
                    if not self._uses:
                        self.give(self.tokens, session)
                    return None
                self._read_on(session, done)
            assert self._logits is not None  # the cache leaves at least one token
            self._uses -= 1
            return (session.fork() if self._uses else session), self._logits

    def give(self, tokens: Sequence[int], session: Session) -> None:
        """Takes a session that was read, and the tokens that it has read."""
        self._source.give(tokens, session)

    def _begin(self) -> None:
        started = perf_counter()
        self._session = self._source.take(self.tokens)
        self.cached = self._session.length
        self.newly_read += self._encoded or 0
        self.seconds += perf_counter() - started

    def _read_on(self, session: Session, done: int) -> None:
        started = perf_counter()
        step = self._steps.later if done else self._steps.first
        chunk = self.tokens[done : done + step]
        try:
            self._logits = session.push(np.asarray(chunk, np.int64))
        except BaseException:
            self._session = None  # what it has read is not known any more
            raise
        if self._encoded is None:
            self.newly_read += len(chunk)
        self.seconds += perf_counter() - started


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for place, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return place
    return min(len(a), len(b))
