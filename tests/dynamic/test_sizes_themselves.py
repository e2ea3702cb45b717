"""Outputs that depend on sizes alone, arithmetic of sizes, and decisions by sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dynamic.rows import Row, floats, integers, row

X = floats("B", "S", 6)


def _by_length(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[1] > 9 else x


def _by_parity(x: torch.Tensor) -> torch.Tensor:
    return x[:, ::2] if x.shape[1] % 2 == 0 else x


def _while(x: torch.Tensor) -> torch.Tensor:
    while x.shape[1] > 3:
        x = x[:, ::2]
    return x


def _padded_to_even(x: torch.Tensor) -> torch.Tensor:
    if x.shape[1] % 2:
        x = torch.cat([x, x[:, -1:]], 1)
    return x


def _causal(x: torch.Tensor) -> torch.Tensor:
    causal = bool(x.shape[1] > 1)  # as transformers asks
    return torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=causal)


def _causal_or_twice(x: torch.Tensor) -> torch.Tensor:
    return _causal(x) if x.shape[1] > 1 else 2 * x


def _first_64(x: torch.Tensor) -> torch.Tensor:
    return x[:, :64].reshape(-1, x.shape[1] * 6)


def _asserted(x: torch.Tensor) -> torch.Tensor:
    assert x.shape[1] < 1000
    return x + 1


def _by_value(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.sum() > 0 else x


def _item(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(int(x.max().item()) + 4)


def _int(x: torch.Tensor) -> torch.Tensor:
    return x + torch.zeros(int(x.shape[1]))[:, None]


def _one_less_and_one(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(torch.sym_max(x.shape[1] - 1, 0) + 1)


def _over_at_least_one(x: torch.Tensor) -> torch.Tensor:
    return x.sum(1) / max(x.shape[1], 1)


ROWS = [
    row("zeros of S", lambda x: torch.zeros(x.shape[1]), X),
    row("full of S", lambda x: torch.full((x.shape[0], x.shape[1]), x.shape[1]), X),
    row("arange of S", lambda x: torch.arange(x.shape[1]), X),
    row("arange of S*B", lambda x: torch.arange(x.shape[0] * x.shape[1]), X),
    row("ones of S // 2", lambda x: torch.ones(x.shape[1] // 2), X),
    row("ones of S % 3", lambda x: torch.arange(x.shape[1] % 3), X),
    row("ones of -S % 4", lambda x: torch.arange(-x.shape[1] % 4), X),
    row("ceil of S / 2", lambda x: torch.arange(math.ceil(x.shape[1] / 2)), X),
    row("(S - 1) // 2 + 1", lambda x: torch.arange((x.shape[1] - 1) // 2 + 1), X),
    row("(S + 3) // 4", lambda x: torch.arange((x.shape[1] + 3) // 4), X),
    row("S // 2 // 3", lambda x: torch.arange(x.shape[1] // 2 // 3), X),
    row("S * 3 // 2", lambda x: torch.arange(x.shape[1] * 3 // 2), X),
    row("B * S // 4", lambda x: torch.arange(x.shape[0] * x.shape[1] // 4), X),
    row("min of S and 4", lambda x: torch.arange(min(x.shape[1], 4)), X),
    row("max of S and 4", lambda x: torch.arange(max(x.shape[1], 4)), X),
    row(
        "min of S and T",
        lambda x, y: torch.arange(min(x.shape[1], y.shape[1])),
        X,
        floats("B", "T", 6),
    ),
    row(
        "sym_max of S and T",
        lambda x, y: torch.arange(torch.sym_max(x.shape[1], y.shape[1])),
        X,
        floats("B", "T", 6),
    ),
    row("S as a tensor", lambda x: torch.tensor(x.shape[1]) + 0, X),
    row("sizes as a tensor", lambda x: torch.tensor(x.shape), X),
    row("half of S as a tensor", lambda x: torch.full((1,), x.shape[1]) / 2, X),
    row(
        "half of a float of S",
        lambda x: torch.full((1,), float(x.shape[1])) / 2,
        X,
    ),
    row(
        "S as a float tensor, divided",
        lambda x: torch.full((), x.shape[1], dtype=torch.float32) / 7 + x,
        X,
    ),
    row(
        "B // S, at least 1",
        lambda x: x + max(x.shape[0] // x.shape[1], 1),
        X,
        refused="divides by S",
    ),
    row("S over B", lambda x: torch.full((), x.shape[1]) / torch.full((), x.shape[0]), X),
    row("half of a count", lambda x: torch.ones(x.shape[1]).sum() / 2, X, stops=({"S": 0},)),
    row("half of positions", lambda x: torch.arange(x.shape[1]) / 2, X),
    row("rounded half of positions", lambda x: (torch.arange(x.shape[1]) * 0.5).long(), X),
    row("S rooted as a tensor", lambda x: torch.full((), x.shape[1]).float().sqrt() * x, X),
    row("a third of S as a tensor", lambda x: torch.as_tensor(x.shape[1] / 3) * x, X),
    row("sizes made a tensor", lambda x: torch.as_tensor([x.shape[1], x.shape[0]]), X),
    row(
        "a third of S in an array",
        lambda x: torch.from_numpy(np.array([x.shape[1] / 3], np.float32)) * x,
        X,
        refused="IntTrueDiv(S, 3) ==",
    ),
    row(
        "S / 2 cut off by a tensor",
        lambda x: x[:, : torch.ceil(torch.as_tensor(x.shape[1] / 2)).long()],
        X,
    ),
    row("numel", lambda x: torch.full((1,), x.numel()), X),
    row("S in an exponent", lambda x: x.sign() * x.shape[1] ** 2, X),
    row("1 / S", lambda x: x * (1 / x.shape[1]), X),
    row("root of S", lambda x: x / math.sqrt(x.shape[1]), X),
    row(
        "log of S + 1",
        lambda x: x * math.log(x.shape[1] + 1),
        X,
        refused="test_sizes_themselves.py",
    ),
    row(
        "a float of 2 * S + 1",
        lambda x: x * float(x.shape[1] * 2 + 1),
        X,
    ),
    row("S / 2 as a number", lambda x: x + x.shape[1] / 2, X),
    row("S added to integers", lambda n: n * n.shape[1] - n.shape[0], integers("B", "S")),
    row("S // 2 added", lambda n: n + n.shape[1] // 2, integers("B", "S")),
    row("S % 3 added", lambda n: n + n.shape[1] % 3, integers("B", "S")),
    row("two inputs of B and S", lambda x, y: x + y, X, X),
    row("x of S and y of S+1", lambda x, y: x + y[:, 1:], X, floats("B", "T=S+1", 6), refused="T"),
    row("x of S and y of 2*S", lambda x, y: x + y[:, ::2], X, floats("B", "T=2*S", 6)),
    row("y cut to x", lambda x, y: x + y[:, : x.shape[1]], X, floats("B", "T=2*S", 6)),
    row("a branch on S", _by_length, X, refused="S <= 9"),
    row("a branch that the assertion decides", _by_length, X, assertions=("S <= 9",)),
    row("a branch at 1 that changes nothing", _causal, X, assertions=("S >= 1",)),
    row("a branch at 1 that does", _causal_or_twice, X, refused="at S=1", assertions=("S >= 1",)),
    row("a branch on parity", _by_parity, X, refused="S"),
    row(
        "a branch on an empty axis",
        lambda x: torch.ones(3) if x.shape[1] == 0 else x.sum(1),
        X,
        stops=({"S": 0},),
    ),
    row(
        "a branch on no elements",
        lambda x: x.mean() if x.numel() else torch.zeros(()),
        X,
        stops=({"S": 0}, {"B": 0}),
    ),
    row("S or 1", lambda x: x.sum(1) / (x.shape[1] or 1), X, stops=({"S": 0},)),
    row("max of S and 1", lambda x: x.sum(1) / max(x.shape[1], 1), X, stops=({"S": 0},)),
    row("min of S and 1", lambda x: torch.ones(min(x.shape[1], 1)), X, stops=({"S": 0},)),
    row("sym_max of S - 1 and 0", _one_less_and_one, X, stops=({"S": 0},)),
    row("whether there are any", lambda x: x.sum(1) + (x.shape[1] > 0), X, stops=({"S": 0},)),
    row("max of S and 1, with S >= 0", _over_at_least_one, X, assertions=("S >= 0",)),
    row(
        "a branch on an empty axis, with S >= 0",
        lambda x: torch.ones(3) if x.shape[1] == 0 else x.sum(1),
        X,
        refused="at S=0",
        assertions=("S >= 0",),
    ),
    row("a while loop", _while, X, refused="S"),
    row("padded to even by a branch", _padded_to_even, X, refused="S"),
    row("an assertion on S", _asserted, X),
    row("a size that the assertion bounds", _first_64, X, assertions=("S <= 60",)),
    row("at most 64 beside all of them", lambda x, y: x[:, :64, 0] + y, X, floats("B", "S")),
    row("a branch on values", _by_value, X, refused="values"),
    row("a size from values", _item, X, refused="rounds a floating-point number"),
    row("int(S)", _int, X),
    row("a table of 5", lambda x: x + torch.ones(5, 1), X, refused="5"),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_sizes_themselves(entry: Row) -> None:
    entry.check()
