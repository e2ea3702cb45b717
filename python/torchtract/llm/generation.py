"""One text being generated: the loop, and what comes out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Literal

import numpy as np

from torchtract.llm.causal import Logits, Session
from torchtract.llm.pieces import Text
from torchtract.llm.prompt_cache import PromptReader

__all__ = ["Continuation", "FinishReason", "Generation", "TextStream", "Timings"]

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Timings:
    """Where the time went. What is done with the text between two pieces does not count.

    Attributes:
        prompt_tokens: tokens of the prompt that were read, those from the cache left out.
        prompt_seconds: how long that took.
        generated_tokens: tokens behind the first, which comes with the prompt.
        generation_seconds: how long they took.
        peak_memory: the most bytes that the process has had in memory, None where not known.
    """

    prompt_tokens: int = 0
    prompt_seconds: float = 0.0
    generated_tokens: int = 0
    generation_seconds: float = 0.0
    peak_memory: int | None = None

    @property
    def prompt_tokens_per_second(self) -> float:
        """Speed of reading, NaN where nothing was read."""
        return _rate(self.prompt_tokens, self.prompt_seconds)

    @property
    def generated_tokens_per_second(self) -> float:
        """Speed of generating, NaN of a single token."""
        return _rate(self.generated_tokens, self.generation_seconds)


@dataclass(frozen=True)
class Generation:
    """A generated text. ``str()`` of it, or printing it, gives the text.

    Attributes:
        text: what follows the prompt, up to the stop string or the end of text, without it.
        tokens: all new tokens, with that of the end of text.
        finish_reason: ``stop`` at the end of text or a stop string, ``length`` where
            `max_new_tokens` or the model's longest text was reached, ``cancelled``.
        prompt_tokens: how many tokens the prompt has.
        cached_tokens: how many of them an earlier call had read.
        timings: where the time went.
    """

    text: str
    tokens: list[int]
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int = 0
    timings: Timings = field(default=Timings(), compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Continuation:
    """How a prompt is to be continued.

    Attributes:
        prompt: reads it.
        choose: gives a token for its logits.
        decode: gives the text of tokens.
        eos: tokens that end the text.
        stops: strings that do.
        most: how many new tokens there may be.
        give_back: takes the session at the end, and all tokens.
    """

    prompt: PromptReader
    choose: Callable[[Logits], int]
    decode: Callable[[Sequence[int]], str]
    eos: frozenset[int]
    stops: Sequence[str]
    most: int
    give_back: Callable[[Sequence[int], Session], None]


class TextStream(Iterator[str]):
    """Pieces of a text while it is generated, in whole characters and without stop strings.

    A token is computed when the next piece is asked for. Closing the stream, or leaving its
    ``with`` block, ends it.
    """

    def __init__(self, continuation: Continuation) -> None:
        self._writer = _Writer(continuation)
        self._pieces = self._writer.pieces()
        self._computing = threading.Lock()

    @property
    def result(self) -> Generation | None:
        """The whole text with its numbers, None before the end."""
        return self._writer.result

    def __next__(self) -> str:
        with self._computing:
            return next(self._pieces)

    def cancel(self) -> None:
        """Ends the text at the next token, or chunk of the prompt. Any thread may call it."""
        self._writer.cancelled.set()

    def close(self) -> None:
        """Ends the text, and waits until nothing is computed any more."""
        self.cancel()
        with self._computing:
            self._pieces.close()
            self._writer.finish()

    def __enter__(self) -> TextStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


class _Writer:
    """What a stream does. It does not know the stream, so that one that is left ends at once."""

    def __init__(self, continuation: Continuation) -> None:
        self.result: Generation | None = None
        self.cancelled = threading.Event()
        self._continuation = continuation
        self._tokens: list[int] = []
        self._text: list[str] = []
        self._seconds = 0.0
        self._reason: FinishReason = "cancelled"  # until another one is known

    def pieces(self) -> Generator[str, None, None]:
        """Gives the text; closing it gives the session back."""
        begun = self._continuation.prompt.read(self.cancelled.is_set)
        if begun is not None:
            session, logits = begun
            try:
                for piece in self._steps(session, logits):
                    if piece:
                        self._text.append(piece)
                        yield piece
            except GeneratorExit:
                pass  # what was computed is worth keeping
            self._continuation.give_back(
                [*self._continuation.prompt.tokens, *self._tokens], session
            )
        self.finish()

    def _steps(self, session: Session, logits: Logits) -> Iterator[str]:
        """What each token adds to the text."""
        to = self._continuation
        text = Text(to.decode, to.prompt.tokens, to.stops)
        ended = False
        while not ended:
            if self.cancelled.is_set():
                yield text.flush()
                return
            started = perf_counter()
            if self._tokens:
                logits = session.push(np.asarray(self._tokens[-1:], np.int64))
            token = to.choose(logits)
            self._tokens.append(token)
            piece = text.push(token) if token not in to.eos else text.flush()
            if token in to.eos or text.stopped:
                self._reason, ended = "stop", True
            elif len(self._tokens) == to.most:
                self._reason, ended = "length", True
                piece += text.flush()
            if len(self._tokens) > 1:
                self._seconds += perf_counter() - started
            yield piece

    def finish(self) -> None:
        """Sets the result, if there is none."""
        if self.result is not None:
            return
        prompt = self._continuation.prompt
        timings = Timings(
            prompt_tokens=prompt.newly_read,
            prompt_seconds=prompt.seconds,
            generated_tokens=max(len(self._tokens) - 1, 0),
            generation_seconds=self._seconds,
            peak_memory=_peak_memory(),
        )
        self.result = Generation(
            text="".join(self._text),
            tokens=list(self._tokens),
            finish_reason=self._reason,
            prompt_tokens=prompt.length,
            cached_tokens=prompt.cached,
            timings=timings,
        )


def _rate(tokens: int, seconds: float) -> float:
    return tokens / seconds if tokens and seconds else float("nan")


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
