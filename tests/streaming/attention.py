"""Attention that streams: each frame sees some frames around it, which a mask of positions says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streaming.streamable import Apply, Case, Channels, frames

Mask = Callable[[Tensor, Tensor], Tensor]
X = frames(2, 11, 4)
ANY_PULSE = (4, 1, 3, 8)


def window(i: Tensor, j: Tensor) -> Tensor:
    return (i - j >= 0) & (i - j < 5)


def look_ahead(i: Tensor, j: Tensor) -> Tensor:
    return (i - j <= 4) & (j - i <= 2)


def same_chunk(i: Tensor, j: Tensor) -> Tensor:
    return i // 4 == j // 4


def two_chunks(i: Tensor, j: Tensor) -> Tensor:
    return (i // 4 - j // 4 >= 0) & (i // 4 - j // 4 <= 1)


def causal(i: Tensor, j: Tensor) -> Tensor:
    return j <= i


def visible(x: Tensor, mask: Mask) -> Tensor:
    """(S, S): which frames the frames of (B, S, C) see."""
    at = torch.arange(x.shape[1])
    return mask(at[:, None], at[None])


def attend(x: Tensor, mask: Tensor, hidden: float = -torch.inf) -> Tensor:
    scores = x @ x.transpose(1, 2) / math.sqrt(x.shape[-1])
    return torch.softmax(scores.masked_fill(~mask, hidden), -1) @ x


class Attention(nn.Module):
    """Attention with two heads."""

    def __init__(self, mask: Mask, groups: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 8 if groups else 12)
        self.out = nn.Linear(4, 4)
        self.mask = mask
        self.groups = groups

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = visible(x, self.mask) if mask is None else mask
        heads = self.qkv(x).unflatten(-1, (-1, 2)).transpose(1, 2)
        sizes = (2, 1, 1) if self.groups else (2, 2, 2)
        q, k, v = heads.split(sizes, 1)
        y = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=self.groups)
        out: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return x + out


class Encoder(nn.Module):
    """Subsampling, and two blocks of attention and convolution under one mask."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self.subsample = Channels(nn.Conv1d(4, 4, 3, 2, 1), nn.ReLU())
        self.attention = nn.ModuleList([Attention(mask) for _ in range(2)])
        self.conv = nn.ModuleList([Channels(nn.Conv1d(4, 4, 3, padding=1)) for _ in range(2)])
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        x = self.subsample(x)
        mask = visible(x, self.mask)
        for attention, conv in zip(self.attention, self.conv, strict=True):
            x = conv(attention(x, mask))
        return x


def additive(x: Tensor) -> Tensor:
    mask = torch.where(visible(x, two_chunks), 0.0, -torch.inf)
    return F.scaled_dot_product_attention(x, x, x, mask)


def triangles(x: Tensor) -> Tensor:
    size = x.shape[1]
    return attend(x, torch.ones(size, size, dtype=torch.bool).tril().triu(-3))


def slopes(x: Tensor) -> Tensor:
    at = torch.arange(x.shape[1])
    distance = (at[:, None] - at[None]).to(x.dtype)
    heads: Tensor = x.unflatten(-1, (2, 2)).transpose(1, 2)
    scores = heads @ heads.transpose(2, 3) - distance * torch.tensor([0.5, 0.25])[:, None, None]
    scores = scores.masked_fill(~visible(x, window), -1e9)
    return (scores.softmax(-1) @ heads).transpose(1, 2).flatten(2)


def relative(m: Any, x: Tensor) -> Tensor:
    at = torch.arange(x.shape[1])
    bias: Tensor = m.bias((at[:, None] - at[None]).clamp(0, 5)).squeeze(-1)
    scores = (x @ x.transpose(1, 2) + bias).masked_fill(~visible(x, window), -torch.inf)
    return scores.softmax(-1) @ x


def rotated(x: Tensor) -> Tensor:
    angles = torch.arange(x.shape[1]).to(x.dtype)[:, None] * torch.tensor([1.0, 0.1])
    a, b = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return attend(torch.cat([a * cos - b * sin, a * sin + b * cos], -1), visible(x, window))


def written_out(x: Tensor) -> Tensor:
    scores = (x @ x.transpose(1, 2)).masked_fill(~visible(x, window), -torch.inf)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights @ x) / weights.sum(-1, keepdim=True)


def local_mean(x: Tensor) -> Tensor:
    near = visible(x, look_ahead).to(x.dtype)
    return near @ x / near.sum(-1, keepdim=True)


def local_maximum(x: Tensor) -> Tensor:
    return x[:, None].masked_fill(~visible(x, look_ahead)[..., None], -torch.inf).amax(2)


def of_another(x: Tensor, y: Tensor) -> Tensor:
    scores = (x @ y.transpose(1, 2)).masked_fill(~visible(x, look_ahead), -torch.inf)
    return scores.softmax(-1) @ y


def padded(x: Tensor, real: Tensor) -> Tensor:
    mask = visible(x, two_chunks) & (real[:, None] > 0.5)
    heads = x[:, None]
    return F.scaled_dot_product_attention(heads, heads, heads, mask[:, None])[:, 0]


class Transformer(nn.Module):
    """PyTorch's own layers."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        layers = (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True) for _ in range(2))
        self.layers = nn.ModuleList(layers)
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        mask = ~visible(x, self.mask)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return x


class FramesFirst(nn.Module):
    """PyTorch's own attention, over (S, B, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = ~visible(x.transpose(0, 1), two_chunks)
        y: Tensor = self.attention(x, x, x, attn_mask=hidden, need_weights=False)[0]
        return y


def masked(mask: Mask, hidden: float = -torch.inf) -> Callable[[Tensor], Tensor]:
    return lambda x: attend(x, visible(x, mask), hidden)


TABLE = nn.Embedding(90, 4)
BOTH = ({0: "B", 1: "S"}, {0: "B", 1: "S"})

ATTENTION = [
    Case("attention_in_window", masked(window), X, ANY_PULSE),
    Case("attention_in_window_1e4", masked(window, -1e4), X, ANY_PULSE),
    Case("attention_in_chunks", masked(same_chunk), X, ANY_PULSE),
    Case("attention_in_two_chunks", masked(two_chunks, -1e9), X, ANY_PULSE),
    Case("attention_ahead", masked(look_ahead), X, ANY_PULSE),
    Case("attention_between_triangles", triangles, X, ANY_PULSE),
    Case("attention_heads_window", Attention(window), X),
    Case("attention_heads_chunks", Attention(two_chunks), X, (4, 6)),
    Case("attention_grouped", Attention(look_ahead, groups=True), X),
    Case("attention_additive_mask", additive, X, (4, 5)),
    Case("attention_slopes", slopes, X),
    Case("attention_rotated", rotated, X),
    Case("attention_relative", Apply(relative, bias=nn.Embedding(6, 1)), X),
    Case("attention_written_out", written_out, X, ANY_PULSE),
    Case("attention_of_another", of_another, (*X, *frames(2, 11, 4)), axes=BOTH),
    Case("attention_padded", padded, (*X, torch.ones(2, 11)), (4, 3), axes=BOTH),
    Case(
        "attention_of_table",
        Apply(lambda m, x: attend(x + m.t(torch.arange(x.shape[1])), visible(x, window)), t=TABLE),
        X,
    ),
    Case(
        "attention_of_fewer_frames",
        nn.Sequential(Channels(nn.Conv1d(4, 4, 3)), Attention(look_ahead)),
        X,
        ANY_PULSE,
        asserts=("S >= 2",),
    ),
    Case("attention_frames_first", FramesFirst(), frames(11, 2, 4), axes=({0: "S", 1: "B"},)),
    Case(
        "attention_without_batch",
        lambda x: attend(x[None], visible(x[None], look_ahead))[0],
        frames(11, 4),
        axes=({0: "S"},),
    ),
    Case("local_mean", local_mean, X, ANY_PULSE),
    Case("local_maximum", local_maximum, X, ANY_PULSE),
    Case("encoder_window", Encoder(window), X, (4, 2)),
    Case("encoder_chunks", Encoder(two_chunks), X, (8, 4, 2)),
    Case("transformer", Transformer(window), X),
]


def sink(i: Tensor, j: Tensor) -> Tensor:
    return window(i, j) | (j == 0)


def before(i: Tensor, j: Tensor) -> Tensor:
    return (i - j > 0) & (i - j < 5)


def of_fewer(x: Tensor) -> Tensor:
    fewer = x[:, 2:]
    at = torch.arange(fewer.shape[1])
    mask = look_ahead(torch.arange(x.shape[1])[:, None], at[None])
    scores = (x @ fewer.transpose(1, 2)).masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ fewer


def padded_by_number(x: Tensor, real: Tensor) -> Tensor:
    return attend(x, visible(x, window) & (real[:, None] > 0.5), -1e9)


def over_queries(x: Tensor) -> Tensor:
    scores = (x @ x.transpose(1, 2)).masked_fill(~visible(x, window), -torch.inf)
    return torch.softmax(scores, 1) @ x


def logarithms(x: Tensor) -> Tensor:
    scores = (x @ x.transpose(1, 2)).masked_fill(~visible(x, window), -1e9)
    return torch.log_softmax(scores, -1) @ x


def weights(x: Tensor) -> Tensor:
    return (x @ x.transpose(1, 2)).masked_fill(~visible(x, window), -torch.inf).softmax(-1)


def beyond_table(m: Any, x: Tensor) -> Tensor:
    at = torch.arange(x.shape[1])
    bias: Tensor = m.bias((at[:, None] - at[None]).abs()).squeeze(-1)
    return (x @ x.transpose(1, 2) + bias).masked_fill(~visible(x, window), -torch.inf) @ x


#: What frames see has no end, or a query may see nothing and then the batch model takes the mean of
#: all keys.
UNLIMITED = [
    Case(
        "attention_is_causal", lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), X
    ),
    Case("attention_causal", masked(causal), X),
    Case("attention_causal_heads", Attention(causal), X),
    Case("attention_triangle", lambda x: attend(x, visible(x, causal).tril()), X),
    Case("attention_future", masked(lambda i, j: i <= j), X),
    Case("attention_sink", masked(sink), X),
    Case("attention_far", masked(lambda i, j: (i - j >= 0) & (i - j < 2000)), X),
    Case("attention_far_chunks", masked(lambda i, j: i // 2000 == j // 2000), X),
    Case("attention_weak_mask", masked(window, -100.0), X),
    Case("attention_hidden_by_number", masked(before, -1e9), X),
    Case("attention_padded_by_number", padded_by_number, (*X, torch.ones(2, 11)), axes=BOTH),
    Case("attention_of_fewer", of_fewer, X, asserts=("S >= 2",)),
    Case("attention_over_queries", over_queries, X),
    Case("attention_logarithms", logarithms, X),
    Case("attention_weights", weights, X),
    Case("attention_beyond_table", Apply(beyond_table, bias=nn.Embedding(90, 1)), X),
    Case("mean_of_mask", lambda x: visible(x, window).to(x.dtype).mean(-1)[None, :, None] * x, X),
]
