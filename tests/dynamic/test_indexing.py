"""Parts of tensors by positions that are counted from dynamic sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dynamic.rows import Row, floats, integers, masks, row

X = floats("B", "S", 6)
IMAGE = floats("B", "H", "W", 2)
N = integers("B", "S")
PLACES = integers("B", "T", low=0, high=0)


def _last(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    lengths = mask.sum(1).clamp(min=1)
    return x[torch.arange(x.shape[0]), lengths - 1]


def _merged_patches(x: torch.Tensor) -> torch.Tensor:
    _, height, width, _ = x.shape
    x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    quarters = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.cat(quarters, -1)


ROWS = [
    row("the last", lambda x: x[:, -1], X),
    row("the last but one", lambda x: x[:, -2], X),
    row("the first, kept", lambda x: x[:, :1], X, stops=({"S": 0},)),
    row("the last, kept", lambda x: x[:, -1:], X, stops=({"S": 0},)),
    row("all but the last", lambda x: x[:, :-1], X, stops=({"S": 0},)),
    row("all but three", lambda x: x[:, 2:-1], X),
    row("the first three, or fewer", lambda x: x[:, :3], X),
    row("the last three, or fewer", lambda x: x[:, -3:], X),
    row("from the fourth on", lambda x: x[:, 4:], X),
    row("between bounds beyond S", lambda x: x[:, 2:9], X),
    row("the first half", lambda x: x[:, : x.shape[1] // 2], X),
    row("the second half", lambda x: x[:, x.shape[1] // 2 :], X),
    row("the middle", lambda x: x[:, x.shape[1] // 2], X),
    row("by S-1", lambda x: x[:, x.shape[1] - 1], X),
    row("from -S//2", lambda x: x[:, -(x.shape[1] // 2) :], X),
    row("every second", lambda x: x[:, ::2], X),
    row("merged patches of an image padded to even sizes", _merged_patches, IMAGE),
    row("every third of three times S", lambda x: x.repeat(1, 3, 1)[:, 2::3], X),
    row("every third from 1", lambda x: x[:, 1::3], X),
    row("every second of the first five", lambda x: x[:, :5:2], X),
    row("every second but the last", lambda x: x[:, :-1:2], X),
    row("ellipsis", lambda x: x[..., -1, :], X),
    row("a new axis between", lambda x: x[:, None, -1], X),
    row("one in B, some in S", lambda x: x[-1, 1:], X, stops=({"S": 0},)),
    row("S of one cut by S of another", lambda x, y: y[:, : x.shape[1]], X, floats("B", "T", 6)),
    row(
        "offset by a cache",
        lambda x, y: x[:, x.shape[1] - 1 :] + y[:, -1:],
        X,
        floats("B", "T", 6),
        stops=({"S": 0},),
    ),
    row("narrow", lambda x: x.narrow(1, 1, x.shape[1] - 1), X),
    row("select", lambda x: x.select(1, -1), X),
    row("index_select of S", lambda x: x.index_select(1, torch.tensor([0, 0])), X),
    row("a list of positions", lambda x: x[:, [0, -1]], X),
    row("positions reversed", lambda x: x[:, torch.arange(x.shape[1] - 1, -1, -1)], X),
    row("gather along S", lambda x, n: x.gather(1, n % x.shape[1]), floats("B", "S"), N),
    row("gather fewer", lambda x, n: x.gather(1, n), floats("B", "S"), PLACES),
    row("take_along_dim", lambda x: x.take_along_dim(x.argmax(1, keepdim=True), 1), X),
    row("the last of each length", _last, X, masks("B", "S")),
    row("rows of a table", lambda n: torch.arange(40.0).view(20, 2)[n + 9], N),
    row("embedding", torch.nn.Embedding(20, 3), integers("B", "S", low=0, high=19)),
    row(
        "bags of embeddings",
        lambda n: [
            F.embedding_bag(n, torch.arange(40.0).view(20, 2).sin(), mode=mode)
            for mode in ("mean", "sum", "max")
        ],
        integers("B", "S", low=0, high=19),
    ),
    row(
        "bags of weighted embeddings",
        lambda n, x: F.embedding_bag(
            n, torch.arange(40.0).view(20, 2).sin(), mode="sum", per_sample_weights=x
        ),
        integers("B", "S", low=0, high=19),
        floats("B", "S"),
    ),
    row("row and column", lambda x: x[torch.arange(x.shape[0]), x.argmax(1)[:, 0]], X),
    row(
        "a pair of axes",
        lambda x: x[:, torch.arange(x.shape[1]), torch.arange(x.shape[1])],
        floats("B", "S", "T=S"),
    ),
    row("take", lambda x: x.take(torch.tensor([0, 3])), X),
    row("mask picks", lambda x, m: x[m], floats("B", "S"), masks("B", "S")),
    row("nonzero", lambda n: n.nonzero(), N),
    row(
        "masked_select",
        lambda x, m: x.masked_select(m),
        floats("B", "S"),
        masks("B", "S"),
    ),
    row("unique", lambda n: n.unique(), N),
    row("one_hot", lambda n: torch.nn.functional.one_hot(n + 9, 19), N),
    row(
        "one_hot of all there are",
        lambda n: torch.nn.functional.one_hot(n + 9),
        N,
        refused="one_hot",
    ),
    row("bucketize", lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.5])), X),
    row("isin", lambda n: torch.isin(n, torch.tensor([1, 4])), N),
    row(
        "scatter into zeros",
        lambda n: torch.zeros(*n.shape, 4).scatter(2, n[..., None] % 4, 1.0),
        N,
    ),
    row(
        "scatter_add by index",
        lambda x, n: torch.zeros(x.shape[0], 5).scatter_add(1, n % 5, x),
        floats("B", "S"),
        N,
    ),
    row(
        "index_add",
        lambda x: torch.zeros(4, 6).index_add(0, torch.arange(x.shape[0]) % 4, x[:, 0]),
        X,
    ),
    row("counts", lambda n: torch.bincount(n.flatten() + 9, minlength=19), N),
    row("an element of an element", lambda x: x[0][-1][2], X),
    row("chained cuts", lambda x: x[:, 1:][:, :-1][:, ::2], X, stops=({"S": 0},)),
    row("cut, then merged", lambda x: x[:, 1:].reshape(x.shape[0], -1), X, stops=({"S": 0},)),
    row("cut of a transpose", lambda x: x.transpose(1, 2)[..., :-1], X, stops=({"S": 0},)),
    row("cut of a merged axis", lambda x: x.flatten(0, 1)[1:], X, stops=({"B": 0}, {"S": 0})),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_indexing(entry: Row) -> None:
    entry.check()
