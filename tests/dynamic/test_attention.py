"""Attention, masks and positions made from dynamic sizes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer

from dynamic.rows import Row, floats, integers, masks, row

X = floats("B", "S", 8)
Q = floats("B", 2, "S", 4)
K = floats("B", 2, "T", 4)
LENGTHS = integers("B", low=1, high=4)
MASK = masks("B", "S")


class Attention(nn.Module):
    """Self-attention by hand, causal if asked to."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.project = nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, _ = x.shape
        q, k, v = (y.view(batch, steps, 2, 4).transpose(1, 2) for y in self.project(x).chunk(3, -1))
        scores = q @ k.mT / math.sqrt(4)
        if self.causal:
            future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        y: torch.Tensor = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, steps, 8)
        return y


class MultiHead(nn.Module):
    """PyTorch's own layer."""

    def __init__(self, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.triu(torch.full((x.shape[1], x.shape[1]), float("-inf")), 1)
        y: torch.Tensor = self.attention(
            x, x, x, need_weights=False, attn_mask=mask if self.causal else None
        )[0]
        return y


class Table(nn.Module):
    """Learned positions, sliced to S."""

    def __init__(self, length: int = 200) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(length, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table[: x.shape[1]]


class Embedded(nn.Module):
    """Learned positions, looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(200, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.table(torch.arange(x.shape[1]))
        return y


class Sinusoidal(nn.Module):
    """Positions by sines and cosines, computed for S."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(x.shape[1], dtype=torch.float32)[:, None]
        rates = torch.exp(torch.arange(0, 8, 2) * (-math.log(100.0) / 8))
        table = torch.zeros(x.shape[1], 8)
        table[:, 0::2] = torch.sin(steps * rates)
        table[:, 1::2] = torch.cos(steps * rates)
        return x + table


class Rotary(nn.Module):
    """Rotary positions of queries."""

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        rates = 100.0 ** (-torch.arange(0, 4, 2) / 4)
        angles = torch.outer(torch.arange(q.shape[2]).float(), rates)
        angles = torch.cat([angles, angles], -1)
        first, second = q.chunk(2, -1)
        return q * angles.cos() + torch.cat([-second, first], -1) * angles.sin()


class RelativeBias(nn.Module):
    """T5's bias of clipped distances."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Embedding(9, 2)

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(q.shape[2])
        distance = (steps[None] - steps[:, None]).clamp(-4, 4) + 4
        y: torch.Tensor = (q @ q.mT + self.bias(distance).permute(2, 0, 1)).softmax(-1) @ q
        return y


class RelativeShift(nn.Module):
    """Transformer-XL's shift: scores of 2*S-1 distances brought to S by S."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(4, 299))

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        batch, heads, steps, _ = q.shape
        middle = self.table.shape[1] // 2
        scores = q @ self.table[:, middle - steps + 1 : middle + steps]
        scores = F.pad(scores, (1, 0)).view(batch, heads, 2 * steps, steps)
        return scores[:, :, 1:].view(batch, heads, steps, 2 * steps - 1)[..., :steps]


class CrossAttention(nn.Module):
    """Queries over S, keys over T, a mask of T."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        mask = m[:, None, None] | (torch.arange(k.shape[2]) == 0)
        return F.scaled_dot_product_attention(q, k, k * 2, attn_mask=mask)


class Local(nn.Module):
    """Attention within 2 steps."""

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(q.shape[2])
        near = (steps[:, None] - steps).abs() <= 2
        return F.scaled_dot_product_attention(q, q, q, attn_mask=near)


class Chunked(nn.Module):
    """Attention within blocks of 4 steps, the end padded."""

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        batch, heads, steps, features = q.shape
        y = F.pad(q, (0, 0, 0, -steps % 4)).reshape(batch, heads, -1, 4, features)
        y = F.scaled_dot_product_attention(y, y, y)
        return y.flatten(2, 3)[:, :, :steps]


class Alibi(nn.Module):
    """Scores less a multiple of the distance."""

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(q.shape[2])
        slopes = torch.tensor([0.5, 0.25])[:, None, None]
        bias = slopes * (steps[None] - steps[:, None])
        return F.scaled_dot_product_attention(q, q, q, attn_mask=bias)


def _pooled(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask[..., None].float()
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)


def _by_lengths(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    mask = torch.arange(x.shape[1])[None] < lengths[:, None]
    return x.masked_fill(~mask[..., None], 0)


def _softmax_by_lengths(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    mask = torch.arange(x.shape[1]) >= lengths[:, None]
    return x.masked_fill(mask[..., None], -1e9).softmax(1)


def _of_joined_zeros(x: torch.Tensor) -> torch.Tensor:
    count = x.shape[0]
    return x @ torch.cat([torch.zeros(count, 1, 1), torch.ones(count, 2, 1)], 1)


def _of_joined_complex(x: torch.Tensor) -> torch.Tensor:
    reference = torch.zeros(x.shape[0], 3, dtype=torch.complex64)
    reference[..., 0].fill_(1)
    return torch.view_as_real(torch.complex(x, x + 1) @ reference[..., None])


def _swin() -> nn.Module:
    """Its masks write constants, several of them the same one."""
    swin: nn.Module = SwinTransformer([4, 4], 16, [2, 2], [2, 2], [7, 7])
    return swin


ROWS = [
    row("by hand", Attention(causal=False), X),
    row("by hand, causal", Attention(causal=True), X),
    row("fused", lambda q: F.scaled_dot_product_attention(q, q, q), Q),
    row("fused, causal", lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), Q),
    row("fused, S over T", lambda q, k: F.scaled_dot_product_attention(q, k, k), Q, K),
    row("fused, a scale", lambda q, k: F.scaled_dot_product_attention(q, k, k, scale=0.3), Q, K),
    row(
        "fused, tril mask",
        lambda q: F.scaled_dot_product_attention(
            q, q, q, attn_mask=torch.ones(q.shape[2], q.shape[2]).tril().bool()
        ),
        Q,
    ),
    row(
        "fused, added mask",
        lambda q: F.scaled_dot_product_attention(
            q, q, q, attn_mask=torch.full((q.shape[2], q.shape[2]), -9.0).triu(1)
        ),
        Q,
    ),
    row(
        "fused, mask of the input",
        lambda x, m: F.scaled_dot_product_attention(
            x, x, x, attn_mask=m[:, None, :] | m[:, :, None] | ~m[:, None, :]
        ),
        X,
        MASK,
    ),
    row(
        "grouped queries",
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        floats("B", 4, "S", 4),
        K,
    ),
    row("several heads", MultiHead(), X),
    row("several heads, causal", MultiHead(causal=True), X),
    row("across, masked", CrossAttention(), Q, K, masks("B", "T")),
    row("near", Local(), Q),
    row("in blocks", Chunked(), Q),
    row("alibi", Alibi(), Q),
    row("an encoder layer", nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), X),
    row(
        "a decoder layer",
        nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        X,
        floats("B", "T", 8),
    ),
    row("linear attention", lambda q, k: q.softmax(-1) @ (k.softmax(-2).mT @ k), Q, K),
    row("learned positions", Table(), X),
    row("learned positions, looked up", Embedded(), X),
    row("too few learned positions", Table(140), X),
    row("sinusoidal positions", Sinusoidal(), X),
    row("rotary positions", Rotary(), Q),
    row("a relative bias", RelativeBias(), Q),
    row("a relative shift", RelativeShift(), Q),
    row("positions over S", lambda x: x + torch.arange(x.shape[1])[:, None] / x.shape[1], X),
    row("two stages of windows that shift", _swin(), floats("B", 3, 64, 64)),
    row("linspace over S", lambda x: x + torch.linspace(0, 1, x.shape[1])[:, None], X),
    row("linspace to S", lambda x: x + torch.linspace(-1, x.shape[1], x.shape[1])[:, None], X),
    row("arange by 2", lambda x: x[:, torch.arange(0, x.shape[1], 2)], X),
    row("arange down", lambda x: x + torch.arange(x.shape[1], 0, -1)[:, None], X),
    row("arange of halves", lambda x: x + torch.arange(0.5, x.shape[1] + 0.5)[:, None], X),
    row(
        "arange of tenths",
        lambda x: x + torch.arange(0.1, x.shape[1] + 0.1)[:, None],
        X,
        refused="whole numbers",
    ),
    row("tril", lambda x: x.tril(), floats("B", "S", "T")),
    row("triu from the second", lambda x: x.triu(2), floats("B", "S", "T")),
    row("tril from below by S", lambda x: x.tril(-(x.shape[1] // 2)), floats("B", "S", "T")),
    row("eye", lambda x: x + torch.eye(x.shape[1])[..., None], floats("S", "S", 3)),
    row(
        "a causal mask of ints",
        lambda x: torch.ones(x.shape[1], x.shape[1], dtype=torch.int64).tril(),
        X,
    ),
    row(
        "outer product of steps",
        lambda x: x @ torch.outer(torch.arange(8.0), torch.arange(x.shape[1])),
        X,
    ),
    row("mean where a mask holds", _pooled, X, MASK),
    row("zero behind lengths", _by_lengths, X, LENGTHS),
    row("softmax within lengths", _softmax_by_lengths, X, LENGTHS),
    row("einsum over T", lambda q, k: torch.einsum("bhsd,bhtd->bhst", q, k), Q, K),
    row("einsum, S summed", lambda x: torch.einsum("bsd,bse->de", x, x + 1), X),
    row(
        "einsum of three",
        lambda x: torch.einsum("bsd,bsd,s->bd", x, x, torch.arange(x.shape[1]) * 1.0),
        X,
    ),
    row("bilinear", nn.Bilinear(8, 8, 3), X, X),
    row(
        "cdist by hand",
        lambda x, y: (x[:, :, None] - y[:, None]).square().sum(-1).sqrt(),
        X,
        floats("B", "T", 8),
    ),
    row("cdist", torch.cdist, X, floats("B", "T", 8), atol=1e-4),
    row("gram matrix", lambda x: x.mT @ x / x.shape[1], X),
    row(
        "all pairs",
        lambda x: torch.cat(
            [
                x[:, :, None].expand(-1, -1, x.shape[1], -1),
                x[:, None].expand(-1, x.shape[1], -1, -1),
            ],
            -1,
        ),
        floats("B", "S", 3),
    ),
    row("bmm", torch.bmm, floats("B", "S", "T"), floats("B", "T", 4)),
    row(
        "baddbmm",
        lambda x, y: torch.baddbmm(torch.ones(1, 1), x, y),
        floats("B", "S", 3),
        floats("B", 3, "T"),
    ),
    row("a product with what is joined of repeated tensors", _of_joined_zeros, floats("B", 5, 3)),
    row("two products with these", _of_joined_complex, floats("B", 5, 3)),
    row("kron", torch.kron, floats("S", 2), floats("T", 3)),
    row("tensordot", lambda x, y: torch.tensordot(x, y, dims=([1], [0])), X, floats("S", 3)),
    row("vector and matrix", lambda x, y: x @ y, floats("S"), floats("S", 4)),
    row("dot", torch.dot, floats("S"), floats("S")),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_attention(entry: Row) -> None:
    entry.check()
