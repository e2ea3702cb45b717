"""Joined tensors, and the parts of one, are PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "B", 1: "S"}},
    "sizes": [{"B": 1, "S": 9}, {"B": 5, "S": 1}],
}

#: Functions of a tensor [B, S, 6].
FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "cat": lambda x: torch.cat([x, x * 2], 1),
    "cat last": lambda x: torch.cat([x, x[..., :2], x], -1),
    "cat with a constant": lambda x: torch.cat([x, torch.ones(x.shape[0], 1, 6)], 1),
    "cat with an old empty tensor": lambda x: torch.cat([torch.zeros(0), x]),
    "cat promotes": lambda x: torch.cat([x, (x > 0).int()], 0),
    "stack": lambda x: torch.stack([x, -x]),
    "stack last": lambda x: torch.stack([x, -x, x + 1], -1),
    "hstack": lambda x: torch.hstack([x, -x]),
    "vstack": lambda x: torch.vstack([x, -x]),
    "split": lambda x: x.split(4, -1),
    "split_with_sizes": lambda x: x.split([1, 2, 3], 2),
    "chunk": lambda x: x.chunk(4, -1),
    "tensor_split": lambda x: x.tensor_split(4, -1),
    "unbind": lambda x: x.unbind(-1),
    "cat with no element": lambda x: torch.cat([x[..., :0], x], -1),
    "stack of numbers": lambda x: torch.stack([x[0, 0, 0], x.sum()]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_join_or_cut(name: str) -> None:
    export_and_compare(FUNCTIONS[name], uniform(2, 3, 6), **DYNAMIC)


def test_parts_of_one_axis_that_depend_on_a_symbol() -> None:
    def halves(x: torch.Tensor) -> Any:
        return x.split([x.shape[0] // 2, x.shape[0] - x.shape[0] // 2])

    sizes = [{"B": 2}, {"B": 7}]
    export_and_compare(halves, uniform(5, 3), dynamic_axes={"x0": {0: "B"}}, sizes=sizes)


def test_join_of_nothing() -> None:
    export_and_compare(lambda x: torch.cat([x[:0], x[:0]]), uniform(2, 3))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    x = integers(2, 3, 6, low=0, high=9).to(dtype)
    export_and_compare(lambda x: (torch.cat([x, x], 1), torch.stack([x, x]), *x.split(2, 2)), x)


def test_diff_of_truth_values() -> None:
    x = integers(4, 6, low=0, high=1, dtype=torch.bool)
    export_and_compare(lambda x: (x.diff(), x.diff(2, 0)), x)


def test_diff_of_no_or_too_many_orders() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.diff(0, prepend=x), x.diff(9)

    export_and_compare(function, uniform(3, 4))
