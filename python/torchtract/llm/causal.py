"""What generation needs of a causal language model in the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["CausalModel", "Logits", "Session"]

Logits = npt.NDArray[np.float32]
"""[vocabulary], of the token that comes next."""


class Session(Protocol):
    """What the model remembers of one text."""

    @property
    def length(self) -> int:
        """How many tokens it has read."""

    def push(self, tokens: npt.NDArray[np.int64], /) -> Logits:
        """Reads more tokens, and gives the logits behind the last of them."""

    def truncate(self, length: int, /) -> None:
        """Forgets all tokens but the first `length`."""

    def fork(self) -> Session:
        """A second memory that is the same up to here."""


class CausalModel(Protocol):
    """A language model that reads from left to right. Any number of threads may have sessions."""

    @property
    def max_length(self) -> int:
        """How many tokens a session can hold, read and generated ones together."""

    @property
    def vocab_size(self) -> int:
        """How many logits there are; token ids are below."""

    @property
    def eos_token_ids(self) -> Sequence[int]:
        """Tokens that end a text, as the model's file tells."""

    def allows(self, past: int, new: int, /) -> bool:
        """Whether a session that has read so many tokens can read so many more at once."""

    def session(self) -> Session:
        """A memory that is empty."""
