"""Attention gives PyTorch's numbers under every kind of mask and at all sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import torchtract.attention
from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform
from torchtract.errors import UnsupportedOpError

attention = nn.functional.scaled_dot_product_attention

LENGTHS: dict[str, Any] = {
    "dynamic_axes": {
        "x0": {0: "B", 2: "L"},
        "x1": {0: "B", 2: "S"},
        "x2": {0: "B", 2: "S"},
    },
    "sizes": [{"B": 1, "L": 1, "S": 6}, {"B": 3, "L": 9, "S": 2}, {"B": 1, "L": 4, "S": 1}],
}


def inputs(*shapes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(uniform(*shape, seed=i) for i, shape in enumerate(shapes))


def queries_keys_values() -> tuple[torch.Tensor, ...]:
    return inputs((2, 4, 5, 8), (2, 4, 6, 8), (2, 4, 6, 7))


def bool_mask(*shape: int) -> torch.Tensor:
    """Some keys hidden, and from the third query on all of them for one query in four."""
    mask = uniform(*shape, seed=7) > -1
    if len(shape) > 1:
        mask[..., 2::4, :] = False
    return mask


def float_mask(*shape: int) -> torch.Tensor:
    return uniform(*shape, seed=8).masked_fill(~bool_mask(*shape), -torch.inf)


def test_no_mask() -> None:
    export_and_compare(attention, *queries_keys_values(), **LENGTHS)


@pytest.mark.parametrize("scale", [0.3, -2.0, 1.0])
def test_scale(scale: float) -> None:
    export_and_compare(lambda q, k, v: attention(q, k, v, scale=scale), *queries_keys_values())


def test_causal_mask_is_aligned_at_the_first_query_and_key() -> None:
    export_and_compare(
        lambda q, k, v: attention(q, k, v, is_causal=True), *queries_keys_values(), **LENGTHS
    )


@pytest.mark.parametrize("lengths", [(5, 5), (3, 7), (7, 3), (1, 4), (4, 1)])
def test_causal_mask_of_known_lengths(lengths: tuple[int, int]) -> None:
    queries, keys = lengths
    q, k, v = inputs((2, queries, 8), (2, keys, 8), (2, keys, 8))
    export_and_compare(lambda q, k, v: attention(q, k, v, is_causal=True), q, k, v)


MASK_SHAPES = [(5, 6), (1, 6), (5, 1), (2, 1, 1, 6), (2, 1, 5, 6), (1, 4, 5, 6), (2, 4, 5, 6)]


@pytest.mark.parametrize("kind", [bool_mask, float_mask])
@pytest.mark.parametrize("shape", MASK_SHAPES)
def test_mask_that_is_an_input(shape: tuple[int, ...], kind: Any) -> None:
    export_and_compare(
        lambda q, k, v, m: attention(q, k, v, attn_mask=m), *queries_keys_values(), kind(*shape)
    )


@pytest.mark.parametrize("kind", [bool_mask, float_mask])
def test_mask_that_is_a_constant(kind: Any) -> None:
    hides_all, hides_some = kind(5, 6), kind(5, 6)
    hides_some[:, 0] = kind(9, 9)[0, 0]
    assert not _sees_a_key(hides_all)
    assert _sees_a_key(hides_some)
    for mask in (hides_all, hides_some):
        export_and_compare(
            lambda q, k, v, mask=mask: attention(q, k, v, attn_mask=mask), *queries_keys_values()
        )


def _sees_a_key(mask: torch.Tensor) -> bool:
    return bool((mask if mask.dtype == torch.bool else mask > -torch.inf).any(-1).all())


def test_mask_of_symbolic_sizes() -> None:
    axes = LENGTHS["dynamic_axes"] | {"x3": {0: "B", 2: "L", 3: "S"}}
    q, k, v = queries_keys_values()
    for mask in (bool_mask(2, 1, 5, 6), float_mask(2, 1, 5, 6)):
        export_and_compare(
            lambda q, k, v, m: attention(q, k, v, attn_mask=m),
            *(q, k, v, mask),
            dynamic_axes=axes,
            sizes=LENGTHS["sizes"],
        )


def test_padding_mask_as_large_negative_numbers() -> None:
    """Rows of the lowest number see all keys alike, other than rows of minus infinity."""
    mask = torch.where(bool_mask(2, 1, 5, 6), 0.0, torch.finfo(torch.float32).min)
    export_and_compare(
        lambda q, k, v, m: attention(q, k, v, attn_mask=m), *queries_keys_values(), mask
    )


@pytest.mark.parametrize("mask", [None, (5, 6), (2, 1, 5, 6), (2, 8, 5, 6)])
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_queries_that_share_keys(heads: int, mask: tuple[int, ...] | None) -> None:
    q, k, v = inputs((2, 8, 5, 4), (2, heads, 6, 4), (2, heads, 6, 3))
    masks = [bool_mask(*mask)] if mask else []
    export_and_compare(
        lambda q, k, v, m=None: attention(q, k, v, attn_mask=m, enable_gqa=True),
        *(q, k, v, *masks),
        **(LENGTHS if mask is None else {}),
    )


def test_queries_that_share_keys_causally() -> None:
    q, k, v = inputs((2, 8, 5, 4), (2, 2, 6, 4), (2, 2, 6, 4))
    export_and_compare(
        lambda q, k, v: attention(q, k, v, is_causal=True, enable_gqa=True), q, k, v, **LENGTHS
    )


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3)])
def test_ranks(batch: tuple[int, ...]) -> None:
    export_and_compare(attention, *inputs((*batch, 5, 8), (*batch, 6, 8), (*batch, 6, 7)))


def test_batch_axes_that_broadcast() -> None:
    export_and_compare(attention, *inputs((2, 4, 5, 8), (1, 4, 6, 8), (1, 1, 6, 7)))


def test_precisions() -> None:
    q, k, v = queries_keys_values()
    export_and_compare(attention, q.double(), k.double(), v.double(), rtol=1e-9, atol=1e-12)
    masked = (x.half() for x in (q, k, v))
    export_and_compare(
        lambda q, k, v, m: attention(q, k, v, attn_mask=m), *masked, bool_mask(5, 6), **HALF
    )


def test_large_scores_do_not_overflow() -> None:
    q, k, v = queries_keys_values()
    export_and_compare(attention, q * 100, k * 100, v)


def test_multi_head_attention_module() -> None:
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    axes = {"query": {0: "B", 1: "S"}}
    sizes = [{"B": 1, "S": 3}, {"B": 4, "S": 11}]

    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, query: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.layer(query, query, query, need_weights=False)[0]
            return output

    export_and_compare(SelfAttention(), uniform(2, 5, 16), dynamic_axes=axes, sizes=sizes)


def test_attention_weights_of_the_module() -> None:
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    q, k, v = inputs((2, 5, 16), (2, 7, 16), (2, 7, 16))
    export_and_compare(layer, q, k, v)


def test_transformer_encoder_layer_with_a_padding_mask() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    hidden = torch.arange(6) >= torch.tensor([[6], [4]])
    export_and_compare(
        lambda x, m: layer.eval()(x, src_key_padding_mask=m), uniform(2, 6, 16), hidden
    )


def test_dropout_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="drops weights at random"):
        export_and_compare(
            lambda q, k, v: attention(q, k, v, dropout_p=0.1), *inputs(*[(2, 3)] * 3)
        )


WHOLE: dict[str, Any] = {
    "dynamic_axes": {"x0": {2: "S"}, "x1": {2: "T"}, "x2": {2: "T"}, "x3": {2: "S", 3: "T"}},
    "sizes": [{"S": 1, "T": 9}, {"S": 70, "T": 130}, {"S": 3, "T": 3}],
}


@pytest.mark.parametrize("mask", ["bool", "float"])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_attention_whole(key_heads: int, mask: str) -> None:
    """As one operator of tract, which takes keys by blocks of which a query may see none."""
    q, k, v = inputs((2, 4, 5, 8), (2, key_heads, 140, 8), (2, key_heads, 140, 8))
    seen = torch.ones(5, 140, dtype=torch.bool).tril(2)[None, None]
    given = seen if mask == "bool" else torch.zeros(seen.shape).masked_fill(~seen, -1e9)
    export_and_compare(
        lambda q, k, v, m: torchtract.attention.attention(q, k, v, m, 0.3),
        *(q, k, v, given),
        **WHOLE,
    )


def test_attention_whole_is_one_operator() -> None:
    q, k, v = inputs((2, 4, 5, 8), (2, 4, 6, 8), (2, 4, 6, 8))
    mask = torch.ones(1, 1, 5, 6, dtype=torch.bool).tril(1)
    model = export(Whole(), q, k, v, mask)
    assert "SDPA" in {node.op for node in model.nodes()}


class Whole(nn.Module):
    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = torchtract.attention.attention(*tensors, 0.3)
        return output
