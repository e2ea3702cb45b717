"""Elementwise arithmetic over dynamic axes: broadcasting, promotion, choices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dynamic.rows import Row, floats, integers, masks, row

X = floats("B", "S", 6)
LAST = floats("B", "S")

ROWS = [
    row("same shapes", lambda x, y: x * y + x - y, X, X),
    row("a leading axis is missing", lambda x, y: x + y, X, floats("S", 6)),
    row("an axis of 1 meets S", lambda x, y: x * y, X, floats("B", 1, 6)),
    row("both sides broadcast", lambda x, y: x - y, floats("B", 1, 6), floats("S", 1)),
    row("a column and a row", lambda x, y: x[:, None] - y[None], floats("S"), floats("T")),
    row("rank 0 and rank 3", lambda x: x * x.sum(), X),
    row("int64 and float32", lambda x, n: x + n, X, integers("S", 6)),
    row("bool and int64", lambda m, n: m + n, masks("B", "S"), integers("S")),
    row("int32 and int64", lambda a, n: a * n, integers("S", dtype=torch.int32), integers("S")),
    row("true division of integers", lambda a, n: a / n, integers("S"), integers("S", low=1)),
    row("floor division", lambda a, n: a // n, integers("S"), integers("S", low=1)),
    row("remainder of negatives", lambda a, n: a % n, integers("S"), integers("S", low=1)),
    row("float64", lambda x: x / 3 + x.exp(), floats("B", "S", dtype=torch.float64)),
    row("where", torch.where, masks("B", "S"), LAST, LAST),
    row("where with a number", lambda m, x: torch.where(m, x, 0.0), masks("S", 1), X),
    row("masked_fill", lambda x, m: x.masked_fill(m, -1.0), LAST, masks("S")),
    row("clamp", lambda x: x.clamp(-1, 2), X),
    row("clamp by tensors", lambda x, y: x.clamp(min=y), X, floats("S", 1)),
    row("maximum", torch.maximum, X, floats("S", 1)),
    row("lerp", lambda x, y: torch.lerp(x, y, 0.3), X, X),
    row("a mask of ones", lambda x: x.mean() * (torch.full((x.shape[0],), 3) < 5), X),
    row("a mask of zeros", lambda x: x.mean() * (torch.full((x.shape[0],), 7) < 5), X),
    row("and all", lambda m: m & (torch.arange(m.shape[0] + 1) >= 0), masks("B", 1)),
    row("addcmul", lambda x, y: torch.addcmul(x, x, y, value=2), X, floats("S", 6)),
    row("comparisons", lambda x, y: (x > y) & ~(x == y) | (x < 1), X, floats("S", 1)),
    row("isfinite of a quotient", lambda x: torch.isfinite(x / x.round()), X),
    row("gelu of the tanh kind", lambda x: F.gelu(x, approximate="tanh"), X),
    row("silu and glu", lambda x: F.glu(F.silu(x), dim=-1), X),
    row("prelu", torch.nn.PReLU(5), floats("B", 5, "S"), atol=1e-5),
    row("softmax over S", lambda x: x.softmax(1), X),
    row("log_softmax over S", lambda x: x.log_softmax(1), X),
    row("softmin over B", lambda x: F.softmin(x, dim=0), X),
    row("divided by a size", lambda x: x / x.shape[1], X),
    row("times a root of a size", lambda x: x * x.shape[1] ** 0.5, X),
    row("power of a size", lambda x: x ** x.shape[0], floats("B", "S", low=0.5, high=1.0)),
    row("plus a size", lambda n: n + n.shape[0] * n.shape[1], integers("B", "S")),
    row("modulo a size", lambda n: n % n.shape[1], integers("B", "S")),
    row("an angle", torch.atan2, LAST, LAST),
    row("normalize over S", lambda x: F.normalize(x, dim=1), X),
    row("cosine similarity", lambda x, y: F.cosine_similarity(x, y, dim=-1), X, floats("S", 6)),
    row("similarity over S", lambda x, y: F.cosine_similarity(x, y, dim=1), X, X),
    row("pairwise distance", F.pairwise_distance, floats("S", 6), floats(6)),
    row("mse without reduction", lambda x, y: F.mse_loss(x, y, reduction="none"), X, X),
    row("mse of all", F.mse_loss, X, X),
    row("nan_to_num", lambda x: torch.nan_to_num(1 / x.round(), posinf=9.0, neginf=-9.0), X),
    row("logit and sigmoid", lambda x: torch.logit(x.sigmoid()), X),
    row("bitwise", lambda a, b: (a & b) ^ (a | 3), integers("S"), integers("B", "S")),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_elementwise(entry: Row) -> None:
    entry.check()
