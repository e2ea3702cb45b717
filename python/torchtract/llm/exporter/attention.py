"""A model of transformers whose attention is `torchtract::attention`, one operator for tract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from torchtract.attention import attention

__all__ = ["attention_whole"]

_NAME = "torchtract"
#: What an attention function may be given that changes nothing: its mask says it, or it is for
#: training. With anything else the model's own function computes.
_SAID_ELSEWHERE = {
    *("dropout", "is_causal", "position_ids", "sliding_window", "cache_position"),
    *("use_cache", "output_attentions", "output_hidden_states", "output_router_logits"),
}


@contextmanager
def attention_whole(model: PreTrainedModel) -> Iterator[None]:
    """Let a model compute its attention by `torchtract::attention`, where it lets one choose."""
    before = model.config._attn_implementation  # noqa: SLF001  (transformers has no getter)
    if not _lets_choose(model):
        yield
        return
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, _mask)
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _lets_choose(model: PreTrainedModel) -> bool:
    names = vars(sys.modules[type(model).__module__])
    return "ALL_ATTENTION_FUNCTIONS" in names and "eager_attention_forward" in names


def _mask(*args: Any, **kwargs: Any) -> Tensor:
    skip = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return cast(Tensor, sdpa_mask(*args, **{**kwargs, **skip}))


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls for each layer's attention."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    asked = any(x is not None for name, x in kwargs.items() if name not in _SAID_ELSEWHERE)
    if asked or attention_mask is None or query.shape[-1] != value.shape[-1]:
        return _attend_eagerly(module, query, key, value, attention_mask, scaling, kwargs)
    output = attention(query, key, value, attention_mask, scaling)
    # Contiguous as those of transformers are: models take views of it.
    return output.transpose(1, 2).contiguous(), None


def _attend_eagerly(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float,
    kwargs: dict[str, Any],
) -> tuple[Tensor, None]:
    """The model's own attention, which takes a mask that is added."""
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.where(mask, 0.0, torch.finfo(query.dtype).min).to(query.dtype)
    forward = vars(sys.modules[type(module).__module__])["eager_attention_forward"]
    output = forward(module, query, key, value, mask, scaling=scaling, **kwargs)
    return output[0], None
