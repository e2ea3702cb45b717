"""How well a language model foretells a text: what quantising costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from torchtract.errors import GenerationError
from torchtract.llm.encoder_decoder import EncoderDecoder

if TYPE_CHECKING:
    from torchtract.llm.language_model import LanguageModel

__all__ = ["perplexity"]


def perplexity(model: LanguageModel, text: str | Sequence[int], *, max_tokens: int = 512) -> float:
    """The exponential of the mean negative log-likelihood of a text's tokens after the first.

    It is read token by token, in stretches as long as the model reads, each by itself.

    Args:
        model: the model.
        text: a text or its tokens.
        max_tokens: how many of its first tokens count.

    Raises:
        GenerationError: it has fewer than two tokens, or some that the model does not have; or the
            model is an encoder-decoder.
        RunError: the engine fails.
    """
    if isinstance(model.model, EncoderDecoder):
        raise GenerationError("perplexity: the model answers texts and does not continue them")
    tokens = model.tokens(text)[:max_tokens]
    if len(tokens) < 2:
        raise GenerationError(f"text: has {len(tokens)} tokens; two at least are needed")
    losses: list[float] = []
    for start in range(0, len(tokens) - 1, model.max_length):
        stretch = tokens[start : start + model.max_length + 1]
        session = model.model.session()
        for token, following in itertools.pairwise(stretch):
            losses.append(_loss(session.push(np.array([token])), following))
    return math.exp(sum(losses) / len(losses))


def _loss(logits: np.ndarray, token: int) -> float:
    """The negative logarithm of the probability of a token."""
    wide = logits.astype(np.float64)
    greatest = wide.max()
    return float(greatest + np.log(np.exp(wide - greatest).sum()) - wide[token])
