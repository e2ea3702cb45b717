"""An encoder-decoder as two modules, between them keys and values of the text that is read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import EncoderDecoderCache

from torchtract.errors import CaptureError
from torchtract.llm.exporter.cached import CachedModel, GrowingCache, cache_option, random_tokens

__all__ = ["CachedDecoder", "Encoder", "start_token"]

#: How many tokens the text has that a decoder is tried with.
_SOURCE = 6


class Encoder(torch.nn.Module):
    """Tokens to keys and values of them, for each layer of the decoder that attends to them."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        if model.main_input_name != "input_ids":
            raise CaptureError(
                f"its encoder reads {model.main_input_name}, and torchtract.llm is for tokens"
            )
        self.model = model
        self.training = model.training

    def forward(self, input_ids: Tensor) -> tuple[Tensor, ...]:
        """Read a text.

        Args:
            input_ids: `[1, T]`, int64.

        Returns:
            For each layer keys and values, `[1, heads, T, features]`.
        """
        hidden = self.model.get_encoder()(input_ids).last_hidden_state
        cross = GrowingCache(())
        # The decoder's layers make them, when it reads any token.
        _decode(self.model, input_ids[:, :1], hidden, GrowingCache(()), cross)
        return tuple(cross.tensors())

    def example(self) -> Tensor:
        """Random tokens, `[1, T]`."""
        return random_tokens(self.model, _SOURCE, seed=2)


class CachedDecoder(CachedModel):
    """Tokens, keys and values of those before and of the encoder's, to scores and longer caches.

    Attributes:
        context_names: of the keys and values that the encoder gives, `cross_key_0` and so on.
    """

    def __init__(self, model: PreTrainedModel, logits: str) -> None:
        super().__init__(model, logits)
        layers = range(len(self.empty_caches) // 2)
        self.context_names = [f"cross_{part}_{i}" for i in layers for part in ("key", "value")]
        self.input_names += self.context_names
        self.axes |= {name: {2: "T"} for name in self.context_names}
        self.assertions.append("T >= 1")

    @cached_property
    def encoder(self) -> Encoder:
        """The other module. It is none of this one's, whose weights have their names once."""
        return Encoder(self.model)

    def begin(self) -> tuple[Tensor, ...]:
        """Empty caches, and the encoder's for its example."""
        return *self.empty_caches, *self._context()

    def alone(self, ids: Tensor) -> dict[str, Any]:
        """What the model itself is given, a text for its encoder among it."""
        return {**super().alone(self.encoder.example()), "decoder_input_ids": ids}

    def example(self, past: int, tokens: int) -> tuple[Tensor, ...]:
        """Arguments of `forward`: random tokens, the caches of others, and the encoder's."""
        return *super().example(past, tokens), *self._context()

    def _read(self, ids: Tensor, caches: Sequence[Tensor], **_: Any) -> tuple[Tensor, GrowingCache]:
        own, cross = ((), self._context()) if not caches else _halves(caches)
        # Its sizes alone are looked at, where keys and values are there already.
        hidden = cross[0].new_zeros(1, cross[0].shape[2], self.model.config.hidden_size)
        cache = GrowingCache(own)
        logits = _decode(self.model, ids, hidden, cache, GrowingCache(cross))
        return logits[:, -self._kept :], cache

    def _context(self) -> tuple[Tensor, ...]:
        with torch.no_grad():
            found: tuple[Tensor, ...] = self.encoder(self.encoder.example())
        return found


def start_token(model: PreTrainedModel) -> int:
    """The token that a decoder's text begins with.

    Raises:
        CaptureError: the model's settings tell none.
    """
    for config in (model.generation_config, model.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            token = getattr(config, name, None)
            if isinstance(token, int):
                return token
    raise CaptureError(
        f"model={type(model).__name__}: neither its configuration nor generation_config tells a "
        "decoder_start_token_id, with which its texts begin."
    )


def _halves(caches: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Those of the decoder's own text, and as many of the encoder's."""
    middle = len(caches) // 2
    return caches[:middle], caches[middle:]


def _decode(
    model: PreTrainedModel, ids: Tensor, hidden: Tensor, own: GrowingCache, cross: GrowingCache
) -> Tensor:
    """The logits behind each token."""
    cache: Any = {cache_option(model): EncoderDecoderCache(own, cross)}
    logits: Tensor = model(
        decoder_input_ids=ids, encoder_outputs=(hidden,), use_cache=True, **cache
    ).logits
    return logits
