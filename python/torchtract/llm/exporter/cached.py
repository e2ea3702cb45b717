"""A causal language model as a module whose inputs and outputs are tokens and caches."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from torchtract.errors import CaptureError

__all__ = ["CachedModel", "GrowingCache", "cache_option", "random_tokens"]


class CachedModel(torch.nn.Module):
    """Tokens, and keys and values of each layer, to scores and longer keys and values.

    Attributes:
        input_names: `input_ids`, and `in_cache_key_0`, `in_cache_value_0` and so on.
        output_names: `logits`, and `out_cache_key_0` and so on.
        empty_caches: those before the first token.
        axes: by input's name, which of its axes are free, and the symbols of these.
        assertions: of the symbols, beside those of any cache.
    """

    def __init__(self, model: PreTrainedModel, logits: str) -> None:
        super().__init__()
        self.model = model
        self.assertions: list[str] = []
        self._kept = {"last": 1, "all": 0}[logits]
        self.empty_caches = self._empty_caches()
        layers = range(len(self.empty_caches) // 2)
        names = [f"cache_{kind}_{i}" for i in layers for kind in ("key", "value")]
        self.input_names = ["input_ids", *(f"in_{name}" for name in names)]
        self.output_names = ["logits", *(f"out_{name}" for name in names)]
        self.axes = {name: {2: "P"} if i else {1: "S"} for i, name in enumerate(self.input_names)}
        self.training = model.training

    def forward(self, input_ids: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """Read tokens that follow those whose keys and values are given.

        Args:
            input_ids: `[1, S]`, int64.
            caches: for each layer, keys and values, `[1, heads, P, features]`.

        Returns:
            Scores `[1, 1, vocabulary]` of what may follow the last token, or `[1, S, vocabulary]`
            of what may follow each; and the caches, of length `P + S`.
        """
        logits, cache = self._read(input_ids, caches, logits_to_keep=self._kept)
        return logits, *cache.tensors()

    def begin(self) -> tuple[Tensor, ...]:
        """What `forward` is given beside the first tokens."""
        return tuple(self.empty_caches)

    def _empty_caches(self) -> list[Tensor]:
        """Keys and values of no tokens.

        Raises:
            CaptureError: layers keep something else.
        """
        try:
            with torch.no_grad():
                _, cache = self._read(torch.zeros(1, 2, dtype=torch.long), ())
            cache.check()
        except Exception as error:
            if not isinstance(error, CaptureError):
                self._check_alone()
            raise CaptureError(
                f"model={type(self.model).__name__}: can't be exported with a cache, since that "
                "holds keys and values of each layer and nothing else (no state space, no "
                f"convolution): {type(error).__name__}: {error}; export it without, by "
                "export_model_to_nnef."
            ) from error
        return [tensor[:, :, :0] for tensor in cache.tensors()]

    def _check_alone(self) -> None:
        """Refuse a model that fails without a cache too, by what it says itself."""
        try:
            with torch.no_grad():
                _ = self.model(**self.alone(torch.zeros(1, 2, dtype=torch.long))).logits
        except Exception as error:
            raise CaptureError(
                f"model={type(self.model).__name__}: fails by itself when it reads two tokens: "
                f"{type(error).__name__}: {error}; mend that first."
            ) from error

    def alone(self, ids: Tensor) -> dict[str, Any]:
        """What the model itself is given to read tokens without a cache."""
        return {"input_ids": ids, "use_cache": False}

    def tokens(self, count: int) -> Tensor:
        """Random ones, `[1, count]`."""
        return random_tokens(self.model, count, seed=0)

    def example(self, past: int, tokens: int) -> tuple[Tensor, ...]:
        """Arguments of `forward`: random tokens, and the caches of others."""
        ids = self.tokens(past + tokens)
        with torch.no_grad():
            _, cache = self._read(ids[:, :past], ())
        return ids[:, past:], *cache.tensors()

    def bytes_of_caches(self, length: int) -> int:
        """How much memory keys and values of a text take."""
        return sum(
            cache.element_size() * batch * heads * length * features
            for cache in self.empty_caches
            for batch, heads, _, features in [cache.shape]
        )

    def _read(
        self, ids: Tensor, caches: Sequence[Tensor], **options: Any
    ) -> tuple[Tensor, GrowingCache]:
        cache = GrowingCache(caches)
        options |= {cache_option(self.model): cache, "use_cache": True}
        return self.model(ids, **options).logits, cache


def random_tokens(model: Any, count: int, seed: int) -> Tensor:
    """Some of a model's tokens, `[1, count]`, always the same, none of which is padding.

    RoBERTa gives padding no position, and counts otherwise behind it with a cache than without.
    """
    config = model.config.get_text_config()
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(config.vocab_size, (1, count), generator=generator)
    padding = getattr(config, "pad_token_id", None)
    return ids if padding is None else ids.where(ids != padding, (ids + 1) % config.vocab_size)


def cache_option(model: PreTrainedModel) -> str:
    """The name by which a model takes a cache, which depends on transformers' version."""
    takes = inspect.signature(model.forward).parameters
    return "cache" if "cache" in takes else "past_key_values"


class GrowingCache(Cache):
    """Keys and values of all tokens, also where a layer sees only the last few.

    Those of transformers take another way while they are empty, and sliding ones forget; here the
    program is the same for all lengths, and the layers' masks tell what is seen.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        pairs = zip(tensors[::2], tensors[1::2], strict=True)
        layers = [_GrowingLayer(*pair) for pair in pairs]
        if layers:
            super().__init__(layers=list(layers))
        else:
            super().__init__(layer_class_to_replicate=_GrowingLayer)

    def check(self) -> None:
        """Refuse what is not keys and values alone.

        Raises:
            CaptureError: a layer keeps something else, or none keeps anything.
        """
        for i, layer in enumerate(self.layers):
            if not (isinstance(layer, _GrowingLayer) and isinstance(layer.keys, Tensor)):
                raise CaptureError(f"layer {i} keeps something else")
        if not self.layers:
            raise CaptureError("it keeps nothing")

    def tensors(self) -> list[Tensor]:
        """Keys and values of each layer."""
        layers = cast(list[_GrowingLayer], self.layers)
        return [tensor for layer in layers for tensor in (layer.keys, layer.values)]


class _GrowingLayer(DynamicLayer):
    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if keys is not None and values is not None:
            self.keys, self.values, self.is_initialized = keys, values, True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        if self.is_initialized:
            self.keys = torch.cat([self.keys, key_states], dim=-2)
            self.values = torch.cat([self.values, value_states], dim=-2)
        else:
            self.keys, self.values, self.is_initialized = key_states, value_states, True
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.keys.shape[-2] if self.is_initialized else 0
