"""How the next token is chosen: transformers' logits processors, in their order, with numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.errors import GenerationError, RunError
from torchtract.llm.causal import Logits

__all__ = ["Sampler", "Sampling", "min_p", "repetition_penalty", "top_k", "top_p"]

Tokens = npt.NDArray[np.int64]

_NONE = np.float32(-np.inf)
"""The logit of a token that must not be chosen."""
_LIKELY = 1024
"""Of so many tokens the likeliest are looked for first: few prompts leave more to choose from."""


@dataclass(frozen=True)
class Sampling:
    """How to choose. What is not asked for has the value that changes nothing.

    Attributes:
        temperature: 0 takes the likeliest token, and only `repetition_penalty` changes which.
        top_k: how many of the likeliest tokens there are to choose from; 0 for all.
        top_p: what their probabilities add up to at least, of the fewest that do.
        min_p: how likely they are at least, in units of the likeliest one's probability.
        repetition_penalty: what logits of tokens that were there are divided by, if positive, or
            multiplied with.

    Raises:
        GenerationError: a value is of another type, or can't be.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (_is_number(self.top_k, int, np.integer) and self.top_k >= 0):
            raise GenerationError(
                f"top_k={self.top_k!r}: an int from 0 is needed, 0 for all tokens"
            )
        _check("temperature", self.temperature, lambda t: t >= 0, "from 0, 0 for the likeliest,")
        _check("top_p", self.top_p, lambda p: 0 < p <= 1, "above 0 and up to 1")
        _check("min_p", self.min_p, lambda p: 0 <= p <= 1, "from 0 to 1")
        penalty = self.repetition_penalty
        # Beyond, logits would get too large or all alike.
        needed = "from 1e-6 to 1e6, 1 for none,"
        _check("repetition_penalty", penalty, lambda factor: 1e-6 <= factor <= 1e6, needed)


class Sampler:
    """Chooses the tokens of one text, one after the other.

    Args:
        sampling: how.
        prompt: the tokens that are there already.
        seed: what makes the choice the same again; None for another one each time.
    """

    def __init__(self, sampling: Sampling, prompt: Iterable[int], seed: int | None) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(seed) if sampling.temperature > 0 else None
        self._seen = set(prompt) if sampling.repetition_penalty != 1 else None

    def __call__(self, logits: Logits) -> int:
        """Chooses from the logits of all tokens.

        Raises:
            RunError: they are not numbers.
        """
        sampling = self._sampling
        if self._seen is not None:
            logits = repetition_penalty(logits, self._seen, sampling.repetition_penalty)
        token = int(logits.argmax())
        if not math.isfinite(logits[token]):
            raise RunError(f"the model gave the logit {logits[token]}, so no token can be chosen")
        if self._random is not None:
            logits = _scaled(logits, sampling.temperature)
            tokens, logits = _candidates(logits, sampling)
            place = _draw(logits, self._random)
            token = place if tokens is None else int(tokens[place])
        if self._seen is not None:
            self._seen.add(token)
        return token


def repetition_penalty(logits: Logits, seen: Iterable[int], penalty: float) -> Logits:
    """Makes the tokens in `seen` less likely, where `penalty` is above 1."""
    tokens = np.fromiter(seen, np.int64)
    tokens = tokens[tokens < len(logits)]
    before, factor = logits[tokens], np.float32(penalty)
    changed = logits.copy()
    changed[tokens] = np.where(before < 0, before * factor, before / factor)
    return changed


def top_k(logits: Logits, k: int) -> Logits:
    """Keeps the `k` likeliest tokens, and those that are as likely as the last of them."""
    if k >= len(logits):
        return logits
    return np.where(logits < np.partition(logits, -k)[-k], _NONE, logits)


def top_p(logits: Logits, p: float) -> Logits:
    """Keeps the fewest tokens, likeliest first, whose probabilities add up to `p`."""
    weights = np.exp(logits - logits.max())
    enough = p * weights.sum(dtype=np.float64)
    candidates = np.flatnonzero(top_k(logits, _LIKELY) > _NONE)
    if weights[candidates].sum(dtype=np.float64) < enough:
        candidates = np.arange(len(logits))
    # Of equals the last one first, as transformers has them: it sorts upwards.
    candidates = candidates[np.argsort(logits[candidates], kind="stable")[::-1]]
    before = np.cumsum(weights[candidates], dtype=np.float64)
    kept = candidates[: 1 + int(np.searchsorted(before, enough, side="left"))]
    filtered = np.full_like(logits, _NONE)
    filtered[kept] = logits[kept]
    return filtered


def min_p(logits: Logits, p: float) -> Logits:
    """Keeps the tokens that are at least `p` times as likely as the likeliest one."""
    return np.where(np.exp(logits - logits.max()) < np.float32(p), _NONE, logits)


def _scaled(logits: Logits, temperature: float) -> Logits:
    """Divides by the temperature, as transformers does unless that gets too large."""
    with np.errstate(all="ignore"):
        scaled = logits / np.float32(temperature)
        if not math.isfinite(scaled.max()):
            # The likeliest has 0 then.
            wide = logits.astype(np.float64) - logits.max()
            scaled = (wide / float(temperature)).astype(np.float32)
        return scaled


def _candidates(logits: Logits, sampling: Sampling) -> tuple[Tokens | None, Logits]:
    """The tokens to draw from, None for all, and their logits."""
    filters: list[Callable[[Logits], Logits]] = []
    if sampling.top_k:
        filters.append(lambda logits: top_k(logits, sampling.top_k))
    if sampling.top_p < 1:
        filters.append(lambda logits: top_p(logits, sampling.top_p))
    if sampling.min_p > 0:
        filters.append(lambda logits: min_p(logits, sampling.min_p))
    tokens: Tokens | None = None
    for filtered in filters:
        # Only what is left: a vocabulary is large, and all of it slow.
        logits = filtered(logits)
        kept = np.flatnonzero(logits > _NONE)
        tokens, logits = kept if tokens is None else tokens[kept], logits[kept]
    return tokens, logits


def _draw(logits: Logits, random: np.random.Generator) -> int:
    upto: npt.NDArray[np.float64] = np.cumsum(np.exp(logits - logits.max()), dtype=np.float64)
    # Never one of probability 0: those add nothing, and the first one above is taken.
    place = int(np.searchsorted(upto, random.random() * upto[-1], side="right"))
    return min(place, int(np.searchsorted(upto, upto[-1])))


def _check(name: str, value: Any, holds: Callable[[float], bool], needed: str) -> None:
    number = _is_number(value, int, float, np.integer, np.floating)
    if not (number and _is_finite(value) and holds(value)):
        raise GenerationError(f"{name}={value!r}: a number {needed} is needed")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that is too large for a float
        return False


def _is_number(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)
