"""How well a language model foretells a text: what quantising costs."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from torchtract.errors import GenerationError, RunError
from torchtract.llm.encoder_decoder import EncoderDecoder
from torchtract.llm.settings import check_int
from torchtract.llm.tokenizer import check_ids

if TYPE_CHECKING:
    from torchtract.llm.language_model import LanguageModel

__all__ = ["perplexity"]

_MOST = math.log(sys.float_info.max)
"""The logarithm of the greatest number that is not infinite."""


def perplexity(model: LanguageModel, text: str | Sequence[int], *, max_tokens: int = 512) -> float:
    """The exponential of the mean negative log-likelihood of a text's tokens after the first.

    It is read token by token, in stretches as long as the model reads, each by itself.

    Args:
        model: the model.
        text: a text or its tokens.
        max_tokens: how many of its first tokens count.

    Raises:
        GenerationError: it has fewer than two tokens, or some that the model does not have;
            `max_tokens` is no int from 2; or the model is an encoder-decoder.
        RunError: the engine fails, or the model gives what is no number.
    """
    if isinstance(model.model, EncoderDecoder):
        raise GenerationError("perplexity: the model answers texts and does not continue them")
    tokens = model.tokens(text)[: check_int("max_tokens", max_tokens, 2)]
    check_ids("text", tokens, model.vocab_size)
    if len(tokens) < 2:
        raise GenerationError(f"text: has {len(tokens)} tokens; two at least are needed")
    losses: list[float] = []
    for start in range(0, len(tokens) - 1, model.max_length):
        stretch = tokens[start : start + model.max_length + 1]
        session = model.model.session()
        for token, following in itertools.pairwise(stretch):
            losses.append(_loss(session.push(np.array([token])), following))
    mean = sum(losses) / len(losses)
    return math.exp(mean) if mean < _MOST else math.inf


def _loss(logits: np.ndarray, token: int) -> float:
    """The negative logarithm of the probability of a token."""
    wide = logits.astype(np.float64)
    greatest = wide.max()
    if not math.isfinite(greatest):
        raise RunError(
            f"perplexity: can't be told, since the model gave the logit {greatest}; if that comes "
            "of half precision, export it with dtype=torch.float32."
        )
    return float(greatest + np.log(np.exp(wide - greatest).sum()) - wide[token])
