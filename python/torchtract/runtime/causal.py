"""Language models that keep the keys and values of what they have read inside of tract."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from torchtract import _native
from torchtract.errors import CaptureError, LoadError, RunError
from torchtract.runtime.fact import Fact, Node
from torchtract.sizes import Assertion, allowed

if TYPE_CHECKING:
    from torchtract.runtime.model import Model

__all__ = ["CausalModel", "Session"]

Logits: TypeAlias = npt.NDArray[np.float32]

LANGUAGE_MODEL = "torchtract.llm"
"""Property of an exported language model: JSON of an object, with `eos_token_id` and others."""


class CausalModel:
    """A causal language model compiled for this machine. Any number of threads may have sessions.

    Attributes:
        max_length: of a text, in tokens, those that are read and those that are generated;
            `sys.maxsize` where the file has no bound.
        vocab_size: how many tokens there are; their ids are below.
        eos_token_ids: tokens that end a text, as far as the file tells.
        threads: how many threads share the work of a call.
        context: facts of what a session is given before its first token: none, or what an encoder
            made of another text.
        start_token_id: of a decoder, the token that its texts begin with, as far as the file tells.
        max_prompt_length: of a decoder, how many tokens its encoder reads; None for any number.
    """

    def __init__(self, native: _native.CausalRunnable, threads: int, model: Model) -> None:
        self._native = native
        self.threads = threads
        self.max_length: int = native.max_length() or sys.maxsize
        self.vocab_size = _vocabulary(native)
        told = _told(native.properties())
        self.eos_token_ids = _end_of_text(told)
        self.start_token_id: int | None = told.get("decoder_start_token_id")
        self.max_prompt_length: int | None = told.get("max_prompt_length")
        self.context = tuple(Fact(*fact) for fact in native.context())
        self._assertions = list(_readable(model.assertions))
        context = {fact.name for fact in self.context}
        tokens, cache = [fact for fact in model.inputs if fact.name not in context][:2]
        self._new, self._past = str(tokens.shape[1]), str(cache.shape[-2])

    def allows(self, past: int, new: int) -> bool:
        """Whether the file's assertions allow to read so many tokens at once behind so many.

        With ``tg: S==1`` and ``pp: P==0`` alone, those behind others are read one by one.
        """
        return allowed({self._past: past, self._new: new}, self._assertions)

    def session(self, context: Mapping[str, npt.ArrayLike] | None = None) -> Session:
        """An empty text.

        Args:
            context: for a decoder, by name what its encoder gave. It is copied.

        Raises:
            RunError: the context has other names, types or sizes than `context` tells.
            SymbolError: the model asserts that there are no such sizes.
        """
        given = {} if context is None else context
        names = [fact.name for fact in self.context]
        if given.keys() != set(names):
            takes = ", ".join(map(repr, self.context)) or "none"
            told = ", ".join(sorted(given)) or "none"
            raise RunError(f"context: the model is told {takes}, and was given {told}.")
        return Session(self._native.session(*(given[name] for name in names)), self)

    def nodes(self) -> list[Node]:
        """The compiled network's nodes, in an order in which they can be computed."""
        return [Node.of(*node) for node in self._native.nodes()]

    def __repr__(self) -> str:
        length = "" if self.max_length == sys.maxsize else f", {self.max_length} at most"
        return f"CausalModel({self.vocab_size} tokens{length}, threads={self.threads})"


class Session:
    """A text that a language model reads, piece by piece.

    Threads that use one at once wait for each other; give each its own.
    """

    def __init__(self, native: _native.Session, model: CausalModel) -> None:
        self._native = native
        self.model = model

    @property
    def length(self) -> int:
        """How many tokens were read."""
        return self._native.length()

    @property
    def max_length(self) -> int:
        """How many tokens it can hold, those that are read and those that are generated."""
        return self.model.max_length

    def push(self, tokens: npt.ArrayLike) -> Logits:
        """Reads the next tokens.

        Args:
            tokens: `[S]`, ids of the vocabulary, at least one.

        Returns:
            `[vocab_size]`, float32: the logits of what may follow the last of them.

        Raises:
            RunError: the ids are none, no ints or not of the vocabulary; the text gets longer than
                the model reads; or tract fails. The session is as it was.
        """
        ids = self._checked(tokens)
        logits = self._native.push(ids[None])
        return np.asarray(logits[0, -1], np.float32)

    def truncate(self, length: int) -> None:
        """Forgets all tokens after the first `length`.

        Raises:
            RunError: it has not read so many.
        """
        if type(length) is not int or not 0 <= length <= self.length:
            raise RunError(f"truncate({length!r}): the session has read {self.length} tokens.")
        self._native.truncate(length)

    def fork(self) -> Session:
        """A copy that goes on by itself."""
        return Session(self._native.fork(), self.model)

    def _checked(self, tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
        try:
            ids = np.asarray(tokens)
        except ValueError as error:  # rows of different lengths
            raise RunError(f"tokens: a row of ids is read, not {str(tokens)[:40]!r}.") from error
        if ids.ndim != 1 or not ids.size:
            raise RunError(f"tokens: a row of at least one id is read, not {list(ids.shape)}.")
        if not np.issubdtype(ids.dtype, np.integer):
            raise RunError(f"tokens: ids are integers, not {ids.dtype}.")
        outside = ids[(ids < 0) | (ids >= self.model.vocab_size)]
        if outside.size:
            raise RunError(
                f"tokens: {outside[0]} is no token, the ids are 0 to {self.model.vocab_size - 1}; "
                "was the text split by another model's tokenizer?"
            )
        if (total := self.length + len(ids)) > self.max_length:
            raise RunError(
                f"tokens: the text gets {total} tokens long, and the model reads "
                f"{self.max_length} at most."
            )
        return ids.astype(np.int64, copy=False)

    def __repr__(self) -> str:
        return f"Session({self.length} tokens read)"


def _readable(assertions: Iterable[str]) -> Iterator[Assertion]:
    """Those that need no tract to be evaluated. It tells what the others forbid when it runs."""
    for assertion in assertions:
        with suppress(CaptureError):
            yield Assertion.parse(assertion)


def _vocabulary(native: _native.CausalRunnable) -> int:
    _, _, shape = native.outputs()[0]
    if len(shape) == 3 and isinstance(shape[2], int):
        return shape[2]
    raise LoadError(
        f"the first output's shape is {list(shape)}: a language model gives [1, S, vocabulary]."
    )


def _told(properties: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(properties.get(LANGUAGE_MODEL, "{}"))
    return told


def _end_of_text(told: dict[str, Any]) -> tuple[int, ...]:
    tokens = told.get("eos_token_id")
    if tokens is None:
        return ()
    return tuple(tokens) if isinstance(tokens, list) else (tokens,)
