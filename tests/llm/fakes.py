"""Language models without an engine: what they say depends on all that they have read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError
from torchtract.llm import LanguageModel, Tokenizer
from torchtract.llm.causal import Logits


class FakeModel:
    """Logits are random numbers, seeded by all tokens that were read.

    Args:
        says: gives the likeliest token behind those that were read, if it is not left to chance.
        computes: gives the logits behind those that were read, in place of all that.
        allows: whether so many tokens can be read at once behind so many.

    Attributes:
        pushed: how many tokens each push has read, of all sessions.
    """

    def __init__(
        self,
        vocab_size: int = 50,
        max_length: int = 64,
        eos: Sequence[int] = (),
        says: Callable[[list[int]], int] | None = None,
        computes: Callable[[list[int]], Logits] | None = None,
        allows: Callable[[int, int], bool] = lambda _, __: True,
    ) -> None:
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.eos_token_ids = tuple(eos)
        self.says = says
        self.computes = computes
        self.allows = allows
        self.pushed: list[int] = []
        self.forks = 0
        self.fails = False

    def session(self) -> FakeSession:
        return FakeSession(self, [])

    def logits(self, tokens: list[int]) -> Logits:
        if self.computes:
            return self.computes(tokens)
        logits = np.random.default_rng([7, *tokens]).standard_normal(self.vocab_size, np.float32)
        if self.says:
            logits[self.says(tokens)] += 100
        return logits * 3


class FakeSession:
    """What a `FakeModel` has read."""

    def __init__(self, model: FakeModel, tokens: list[int]) -> None:
        self.model = model
        self.tokens = tokens
        self._thread: int | None = None

    @property
    def length(self) -> int:
        return len(self.tokens)

    def push(self, tokens: npt.NDArray[np.int64]) -> Logits:
        assert self._thread is None, "two threads in one session"
        self._thread = threading.get_ident()
        assert tokens.dtype == np.int64
        assert tokens.ndim == 1
        assert tokens.size
        assert self.model.allows(len(self.tokens), len(tokens))
        self.model.pushed.append(len(tokens))
        self.tokens += tokens.tolist()
        if self.model.fails:
            raise RunError("the engine broke")
        assert len(self.tokens) <= self.model.max_length
        logits = self.model.logits(self.tokens)
        self._thread = None
        return logits

    def truncate(self, length: int) -> None:
        assert length <= len(self.tokens)
        del self.tokens[length:]

    def fork(self) -> FakeSession:
        self.model.forks += 1
        return FakeSession(self.model, list(self.tokens))


def saying(
    text: str, tokenizer: Tokenizer, then: int | None = None, **options: Any
) -> LanguageModel:
    """A model that says a text behind the prompt ``"?"``, then a token for ever."""
    before = len(tokenizer.encode("?"))
    said = [*tokenizer.encode(text, add_special_tokens=False)]

    def says(tokens: list[int]) -> int:
        place = len(tokens) - before
        return said[place] if place < len(said) else (said[-1] if then is None else then)

    eos = () if then is None else (then,)
    model = FakeModel(vocab_size=512, max_length=1024, eos=eos, says=says)
    return LanguageModel(model, tokenizer, **options)
