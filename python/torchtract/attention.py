"""Attention as one operator of the traced program, for which tract has one of its own.

`torch.nn.functional.scaled_dot_product_attention` is lowered to products and a softmax, which are
the same number for number and which streams are made of. A language model's attention becomes
`torchtract::attention` instead: tract grows the keys and values of that in place, where a text gets
longer by one token at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["attention"]


@torch.library.custom_op("torchtract::attention", mutates_args=())
def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Masked attention of queries to keys, several of which may share one.

    Args:
        query: `[batch, heads, queries, features]`.
        key: `[batch, key_heads, keys, features]`, where `heads` is a multiple of `key_heads`.
        value: as the keys.
        mask: what is added to the scores, or booleans that are true where a key is seen; it can be
            broadcast to `[batch, heads, queries, keys]`. Each query sees a key.
        scale: of the scores.

    Returns:
        `[batch, heads, queries, features]`.
    """
    grouped = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped
    )


@attention.register_fake
def _(
    query: Tensor,
    key: Tensor,  # noqa: ARG001
    value: Tensor,
    mask: Tensor,  # noqa: ARG001
    scale: float,  # noqa: ARG001
) -> Tensor:
    return query.new_empty(*query.shape[:-1], value.shape[-1])
