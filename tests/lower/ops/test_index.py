"""Slices, gathers and indexing pick the elements that PyTorch does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

Function = Callable[..., Any]

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "B", 1: "S"}},
    "sizes": [{"B": 1, "S": 9}, {"B": 4, "S": 4}, {"B": 2, "S": 11}],
    "custom_extensions": ["tract_assert S >= 4"],
}

#: Functions of a tensor [B, S, 6] where S is 4 or more.
SLICES: dict[str, Function] = {
    "whole": lambda x: x[:] * 1,
    "first": lambda x: x[:, :3],
    "from": lambda x: x[:, 1:],
    "last": lambda x: x[:, -3:],
    "all but the last": lambda x: x[:, :-1],
    "from negative to negative": lambda x: x[:, -4:-1],
    "static axis": lambda x: x[..., 2:5],
    "beyond the end of a static axis": lambda x: x[..., 4:99],
    "before the start of a static axis": lambda x: x[..., -99:2],
    "nothing": lambda x: torch.cat([x[..., 3:2], x], -1),
    "every second": lambda x: x[..., ::2],
    "every second from one": lambda x: x[..., 1::2],
    "every third to five": lambda x: x[..., 1:5:3],
    "every second of a symbolic axis": lambda x: x[:, ::2],
    "every third from one of a symbolic axis": lambda x: x[:, 1::3],
    "every second after a reshape": lambda x: x.reshape(x.shape[0], -1)[:, ::2],
    "half": lambda x: x[:, : x.shape[1] // 2],
    "other half": lambda x: x[:, x.shape[1] // 2 :],
    "all but some": lambda x: x[:, : x.shape[1] - 2],
    "from the end by a symbol": lambda x: x[:, x.shape[1] - 3 :],
    "select": lambda x: x[:, 2],
    "select last": lambda x: x[:, -1],
    "select by a symbol": lambda x: x[:, x.shape[1] - 2],
    "select many": lambda x: x[0, 1, 2],
    "select and new axis": lambda x: x[:, None, 1:, 0],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "narrow from the end": lambda x: x.narrow(1, -2, 2),
    "of a transpose": lambda x: x.transpose(0, 1)[1:, :, -2:],
    "of a view": lambda x: x.view(x.shape[0], x.shape[1], 2, 3)[:, 1:, 1, :2],
}


@pytest.mark.parametrize("name", SLICES)
def test_slice(name: str) -> None:
    export_and_compare(SLICES[name], uniform(3, 5, 6), **DYNAMIC)


def test_a_slice_of_all_is_none_whatever_is_known_of_the_size() -> None:
    """`(S + 1) / 2 - 3` is a size wherever PyTorch runs, though it is less than 0 at S = 1."""
    shorter = torch.nn.Conv1d(3, 4, 6, 2)
    model = export_and_compare(
        lambda x: shorter(x)[:, :, :][:, :2],
        uniform(2, 3, 11),
        dynamic_axes={"x0": {0: "B", 2: "S"}},
        sizes=[{"B": 1, "S": 6}, {"B": 2, "S": 30}],
    )
    slices = [node for node in model.nodes() if "Slice" in node.op]
    assert [fact.spec for node in slices for fact in node.outputs] == [model.outputs[0].spec]


I = torch.tensor  # noqa: E741  (an index)

#: Functions of a tensor [B, S, 6] where S is 4 or more.
INDEXED: dict[str, Function] = {
    "one": lambda x: x[I([0, 0])],
    "one, negative": lambda x: x[:, I([1, -1, 0])],
    "one of two axes": lambda x: x[:, I([[1, -1], [0, 3]])],
    "one last": lambda x: x[..., I([5, 0, 5])],
    "one without an axis": lambda x: x[:, I(2)],
    "two": lambda x: x[:, I([0, 3, 1]), I([5, 2, 2])],
    "two, negative": lambda x: x[:, I([-1, 3, -4]), I([-6, 2, -1])],
    "two that broadcast": lambda x: x[:, I([[0], [3]]), I([5, 2, 2])],
    "two in front": lambda x: x[I([0, 0]), I([-1, 2])],
    "two apart": lambda x: x[I([[0], [0]]), :, I([5, -2, 2])],
    "one beside a number": lambda x: x[:, 1, I([5, -2, 2])],
    "three": lambda x: x[I([0, 0]), I([1, 2]), I([3, -1])],
    "two apart by a new axis": lambda x: x[:, I([0, 1]), None, I([5, -2])],
    "index_select": lambda x: x.index_select(1, I([3, 0, 0])),
    "index_select by a scalar": lambda x: x.index_select(1, I(2)),
    "take": lambda x: x.take(I([[0, 5], [-1, 3]])),
    "every row": lambda x: x[torch.arange(x.shape[0]), -1],
    "every row and column": lambda x: x[:, torch.arange(x.shape[1] - 1)],
    "rows beside columns": lambda x: x[
        torch.arange(x.shape[0])[:, None], torch.arange(x.shape[1])[None, :]
    ],
}


@pytest.mark.parametrize("name", INDEXED)
def test_index(name: str) -> None:
    export_and_compare(INDEXED[name], uniform(3, 5, 6), **DYNAMIC)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_index_that_is_an_input(dtype: torch.dtype) -> None:
    x, rows = uniform(7, 4), integers(2, 3, low=-7, high=6)
    columns = integers(2, 3, low=-4, high=3, seed=1)

    def function(x: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x[i], x[:, j], x[i, j], x[i[0]][:, j[1, :1]]

    axes = {"x1": {0: "N"}, "x2": {0: "N"}}
    sizes = [{"N": 5}, {"N": 3}]
    inputs = (x, rows.to(dtype), columns.to(dtype))
    export_and_compare(function, *inputs, dynamic_axes=axes, sizes=sizes)


#: Functions of a tensor [4, 5, 6] and positions [3, 5, 2] from 0 to 3.
GATHERS: dict[str, Function] = {
    "gather": lambda x, i: x.gather(0, i),
    "gather middle": lambda x, i: x.gather(1, i),
    "gather last": lambda x, i: x.gather(-1, i),
    "gather whole rows": lambda x, i: x[:3].gather(2, i),
    "take_along_dim": lambda x, i: torch.take_along_dim(x[:1], i[..., :1], 1),
    "take_along_dim flat": torch.take_along_dim,
}


@pytest.mark.parametrize("name", GATHERS)
def test_gather(name: str) -> None:
    export_and_compare(GATHERS[name], uniform(4, 5, 6), integers(3, 5, 2, low=0, high=3))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    x = integers(4, 5, low=0, high=9).to(dtype)

    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x[:, 1::2], x[:, -1], x[I([1, -1])], x.gather(1, I([[3, 0]]))

    export_and_compare(function, x)


def test_rank_zero() -> None:
    x = torch.tensor(0.7)
    export_and_compare(lambda x: (x.index_select(0, I([0])), x.gather(0, I(0))), x)


def test_gather_of_nothing() -> None:
    def function(x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.gather(0, i), x[:, None].gather(1, i), x[:, None].take_along_dim(i, 1)

    export_and_compare(function, uniform(5), torch.zeros(5, 0, dtype=torch.int64))
