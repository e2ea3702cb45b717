"""Attention: products of queries and keys, masked, that weigh the values."""

from __future__ import annotations

import torch

from torchtract import attention  # noqa: F401  (defines torch.ops.torchtract)
from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.dtypes import datum_type
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.ops.matmul import batched_product
from torchtract.lower.ops.shape import integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value

aten = torch.ops.aten
torchtract = torch.ops.torchtract

#: Instead of an infinity: tract takes a row's scores by blocks, in one of which all may be hidden.
_HIDDEN = -1e30


@lowers(aten.scaled_dot_product_attention.default)
@computed_in_float32
def scaled_dot_product_attention(
    b: Builder,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """scaled_dot_product_attention(Tensor query, Tensor key, Tensor value,
    Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None,
    bool enable_gqa=False) -> Tensor
    """
    require(dropout_p == 0, f"it drops weights at random (dropout_p={dropout_p})")
    if enable_gqa:
        query, key, value, attn_mask = _grouped(b, query, key, value, attn_mask)
    if is_causal and (query.shape[-2], key.shape[-2]) != (1, 1):
        attn_mask = _causal_mask(b, query.shape[-2], key.shape[-2])
    if scale is None:
        scale = static_int(query.shape[-1], "the length of a query") ** -0.5
    scores = batched_product(b, query, key, "md,nd->mn")
    scores = b.binary("mul", scores, b.scalar(scale, scores.dtype))
    if attn_mask is not None:
        scores = b.binary("add", scores, _additive(b, attn_mask, scores.dtype))
    weights = b.emit("softmax", scores, axes=[scores.rank - 1])
    output = batched_product(b, weights, value, "mn,nd->md")
    if attn_mask is not None and not is_causal:
        output = _zero_where_all_is_hidden(b, output, attn_mask)
    return b.reshape(output, b.result.shape)


@lowers(torchtract.attention.default)
def whole_attention(
    b: Builder, query: Value, key: Value, value: Value, mask: Value, scale: float
) -> Value:
    """torchtract::attention(Tensor query, Tensor key, Tensor value, Tensor mask, float scale)
    -> Tensor
    """
    if mask.dtype == torch.bool:
        shown, hidden = (b.scalar(x, torch.float32) for x in (0, _HIDDEN))
        mask = b.where(mask, shown, hidden)
    mask = b.unsqueeze(mask, list(range(query.rank - mask.rank)))
    heads = 1 if mask.shape[1] == 1 else query.shape[1]
    mask = b.broadcast(mask, [mask.shape[0], heads, query.shape[2], key.shape[2]])
    return b.emit(
        "tract_transformers_sdpa",
        query,
        key,
        value,
        mask,
        scale=scale,
        datum_type=datum_type(query.dtype),
        acc_datum_type=datum_type(torch.float32),
        is_causal=False,
    )


def _grouped(
    b: Builder, query: Value, key: Value, value: Value, mask: Value | None
) -> tuple[Value, Value, Value, Value | None]:
    """Queries with an axis for those that share a key, so that no key needs a copy."""
    heads = [static_int(x.shape[-3], "a number of heads") for x in (query, key, value)]
    require(heads[1] == heads[2], f"there are {heads[1]} heads of keys and {heads[2]} of values")
    groups = [heads[1], heads[0] // heads[1]]

    def split(x: Value) -> Value:
        each = groups if x.shape[-3] == heads[0] else [1, 1]
        return b.reshape(x, [*x.shape[:-3], *each, *x.shape[-2:]])

    if mask is not None and mask.rank > 2:
        mask = split(mask)
    key, value = (b.unsqueeze(x, [x.rank - 2]) for x in (key, value))
    return split(query), key, value, mask


def _causal_mask(b: Builder, queries: Size, keys: Size) -> Value:
    """Which keys each query sees: as many as it has queries ahead, and one more."""
    rows, columns = b.unsqueeze(integers(b, queries), [1]), integers(b, keys)
    return b.binary("ge", rows, columns, torch.bool)


def _additive(b: Builder, mask: Value, dtype: torch.dtype) -> Value:
    """A mask as what is added to the scores."""
    if mask.dtype != torch.bool:
        return b.cast(mask, dtype)
    return b.where(mask, b.scalar(0, dtype), b.scalar(-torch.inf, dtype))


def _zero_where_all_is_hidden(b: Builder, output: Value, mask: Value) -> Value:
    """PyTorch's result of a query that sees no key: zeros."""
    if mask.data is not None and _shows_each_query_a_key(mask.data):
        return output
    if mask.dtype == torch.bool:
        hidden = b.emit("not", mask)
    else:  # an infinity has no literal in NNEF
        lowest = b.scalar(torch.finfo(mask.dtype).min, mask.dtype)
        hidden = b.binary("lt", mask, lowest, torch.bool)
    hidden = b.cast(hidden, torch.float32)
    all_hidden = b.reduce("min_reduce", hidden, [mask.rank - 1], keepdim=True)
    nothing_seen = b.binary("gt", all_hidden, b.scalar(0.5, torch.float32), torch.bool)
    return b.where(nothing_seen, b.scalar(0, output.dtype), output)


def _shows_each_query_a_key(mask: torch.Tensor) -> bool:
    visible = mask if mask.dtype == torch.bool else mask != -torch.inf
    return bool(visible.any(-1).all())
