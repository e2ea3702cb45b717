"""Tensors joined along dynamic axes, and cut into parts of dynamic size."""

from __future__ import annotations

import pytest
import torch

from dynamic.rows import Row, floats, integers, row

X = floats("B", "S", 6)
Y = floats("B", "T", 6)
EVEN = floats("B", "S", 6)


def _halves(x: torch.Tensor) -> list[torch.Tensor]:
    first, second = torch.cat([x, x + 1], 1).split(x.shape[1], 1)
    return [first, second]


def _two_chunks(x: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, 1)
    return first[:, : second.shape[1]] * second


def _temporal_shift(x: torch.Tensor) -> torch.Tensor:
    zeros = torch.zeros_like(x[:, :1, :2])
    ahead = torch.cat([x[:, 1:, :2], zeros], 1)
    behind = torch.cat([zeros, x[:, :-1, 2:4]], 1)
    return torch.cat([ahead, behind, x[..., 4:]], -1)


def _context(x: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(x, (0, 0, 1, 1))
    return torch.cat([padded[:, i : i + x.shape[1]] for i in range(3)], -1)


ROWS = [
    row("S and T", lambda x, y: torch.cat([x, y], 1), X, Y),
    row("S, T and S", lambda x, y: torch.cat([x, y, x * 2], 1), X, Y),
    row("features", lambda x: torch.cat([x, x.abs()], -1), X),
    row("B twice", lambda x: torch.cat([x, -x]), X),
    row("S and one", lambda x: torch.cat([x, x.mean(1, keepdim=True)], 1), X),
    row(
        "a class token",
        lambda x: torch.cat([torch.ones(1, 1, 6).expand(x.shape[0], -1, -1), x], 1),
        X,
    ),
    row(
        "int64 and float32", lambda x, n: torch.cat([x, n], 1), floats("B", "S"), integers("B", "T")
    ),
    row("with an empty one", lambda x: torch.cat([torch.zeros(0), x]), floats("S")),
    row("stack", lambda x, y: torch.stack([x, y]), X, X),
    row("stack behind", lambda x: torch.stack([x, x * 2, x * 3], -1), X),
    row("hstack", lambda x, y: torch.hstack([x, y]), X, Y),
    row("vstack", lambda x, y: torch.vstack([x, y]), floats("S", 6), floats("T", 6)),
    row("dstack", lambda x, y: torch.dstack([x, y]), X, X),
    row("column_stack", lambda x, y: torch.column_stack([x, y]), floats("S"), floats("S")),
    row("interleaved", lambda x, y: torch.stack([x, y], 2).flatten(1, 2), X, X),
    row("block_diag", lambda x: torch.block_diag(x, x), floats("S", 2)),
    row("chunks of features", lambda x: x.chunk(3, -1), X),
    row("two chunks of S", lambda x: x.chunk(2, 1), X, refused="at S=1"),
    row("two chunks that must be two", _two_chunks, X),
    row(
        "chunks of a size that allows it",
        lambda x: x.chunk(3, 1),
        X,
        assertions=("S >= 5",),
    ),
    row("three chunks of S", lambda x: torch.chunk(x, 3, 1), X, refused="at S=1"),
    row("split of S by 2", lambda x: x.split(2, 1), X, refused="at S=1"),
    row(
        "split of S by its half",
        lambda x: x.split([x.shape[1] // 2, x.shape[1] - x.shape[1] // 2], 1),
        X,
    ),
    row("split into 1 and the rest", lambda x: x.split([1, x.shape[1] - 1], 1), X),
    row("split of features", lambda x: x.split([1, 2, 3], -1), X),
    row("split of 2*S by S", _halves, X),
    row("chunk of 2*S", lambda x: torch.cat([x, x + 1], 1).chunk(2, 1), X),
    row("tensor_split of S by 3", lambda x: x.tensor_split(3, 1), X),
    row("tensor_split of S by 2", lambda x: x.tensor_split(2, 1), X),
    row("tensor_split at 1 and 3", lambda x: x.tensor_split((1, 3), 1), X, stops=({"S": 0},)),
    row(
        "tensor_split of S by named arguments",
        lambda x: [
            *torch.tensor_split(input=x, sections=3, dim=1),
            *torch.tensor_split(x, indices=(1,), dim=2),
        ],
        X,
    ),
    row("tensor_split of features", lambda x: x.tensor_split(4, -1), X),
    row("hsplit at 2", lambda x: torch.hsplit(x, (2,)), X),
    row("unbind of features", lambda x: x.unbind(-1), X),
    row("unbind of S", lambda x: x.unbind(1), X, refused="S"),
    row(
        "a loop over S",
        lambda x: torch.stack([v.cumsum(-1) for v in x.unbind(1)], 1),
        X,
        refused="S",
    ),
    row(
        "halves crossed",
        lambda x: torch.cat([x[:, x.shape[1] // 2 :], x[:, : x.shape[1] // 2]], 1),
        X,
    ),
    row(
        "shifted",
        lambda x: torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1),
        X,
        stops=({"S": 0},),
    ),
    row("temporal shift", _temporal_shift, X, stops=({"S": 0},)),
    row(
        "differences padded",
        lambda x: torch.cat([x[:, :1], x[:, 1:] - x[:, :-1]], 1),
        X,
        stops=({"S": 0},),
    ),
    row("a context window", _context, X),
    row("even and odd", lambda x: torch.cat([x[:, ::2], x[:, 1::2]], 1), X),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_joins(entry: Row) -> None:
    entry.check()
