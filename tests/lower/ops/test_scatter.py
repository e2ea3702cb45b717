"""What is written into tensors is where PyTorch writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

Function = Callable[..., Any]
I = torch.tensor  # noqa: E741  (an index)

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "B", 1: "S"}},
    "sizes": [{"B": 1, "S": 9}, {"B": 4, "S": 4}, {"B": 2, "S": 11}],
    "custom_extensions": ["tract_assert S >= 4"],
}

#: Functions of a tensor [4, 5, 6] and positions [3, 5, 2] from 0 to 3.
SCATTERS: dict[str, Function] = {
    "scatter": lambda x, i: x.scatter(2, i, x.flip(0)),
    "scatter a number": lambda x, i: x.scatter(1, i, 7.5),
    "scatter adds": lambda x, i: x.scatter(1, i, x * 2, reduce="add"),
    "scatter multiplies": lambda x, i: x.scatter(1, i, x * 2, reduce="multiply"),
    "scatter_add": lambda x, i: x.scatter_add(0, i, x[:3, :, 2:]),
    "scatter_reduce sum": lambda x, i: x.scatter_reduce(1, i, x, "sum"),
    "scatter_reduce prod": lambda x, i: x.scatter_reduce(1, i, x, "prod"),
    "scatter_reduce amax": lambda x, i: x.scatter_reduce(1, i, x, "amax"),
    "scatter_reduce amin": lambda x, i: x.scatter_reduce(1, i, x, "amin"),
}


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
@pytest.mark.parametrize("name", SCATTERS)
def test_scatter(name: str) -> None:
    positions = integers(3, 5, 2, low=0, high=3)
    if name == "scatter":  # PyTorch does not say who writes last
        positions = torch.stack([positions[..., 0], (positions[..., 0] + 1) % 4], -1)
    export_and_compare(SCATTERS[name], uniform(4, 5, 6), positions)


#: Functions of a tensor [B, S, 6] where S is 4 or more.
WRITES: dict[str, Function] = {
    "slice_scatter": lambda x: x.slice_scatter(x[:, 1:3] * 2, 1, 2, 4),
    "slice_scatter to the end": lambda x: x.slice_scatter(x[:, 1:] * 2, 1, 0, -1),
    "slice_scatter by steps": lambda x: x.slice_scatter(x[..., 3:] * 2, 2, 1, 6, 2),
    "slice_scatter by steps of S": lambda x: x.slice_scatter(x[:, ::2] * 2, 1, 0, None, 2),
    "select_scatter": lambda x: x.select_scatter(x[:, 0] * 2, 1, -1),
    "select_scatter first": lambda x: x.select_scatter(x[:, 1] * 2, 1, 0),
    "index_add": lambda x: x.index_add(2, I([1, 1, 4]), x[..., :3], alpha=2),
    "index_copy": lambda x: x.index_copy(1, I([1, 3]), x[:, :2]),
    "index_fill": lambda x: x.index_fill(1, I([1, -1]), 3.0),
    "index_put": lambda x: torch.index_put(x, (I([0]),), x[:1] * 2),
    "index_put two": lambda x: torch.index_put(x, (I([0, 0]), I([1, -1])), x[0, :2]),
    "index_put adds": lambda x: torch.index_put(x, (I([0, 0]),), x[:1] * 2, accumulate=True),
}


@pytest.mark.parametrize("name", WRITES)
def test_write(name: str) -> None:
    export_and_compare(WRITES[name], uniform(3, 5, 6), **DYNAMIC)


#: What follows the brackets in `y[...] = value`, and the value, for y of shape [B, S, 6].
ASSIGNMENTS: dict[str, tuple[Any, Function | float]] = {
    "number to a slice": ((slice(None), slice(1, 3)), 2.5),
    "tensor to a slice": ((slice(None), slice(1, 3)), lambda x: x[:, 2:4] * 2),
    "tensor to one": ((slice(None), 0), lambda x: x[:, 1]),
    "number to one of all axes": ((0, 0, 0), 2.5),
    "tensor by index": ((slice(None), I([0, 3])), lambda x: x[:, 1:3]),
    "tensor by two": ((slice(None), I([0, 3]), I([1, -1])), lambda x: x[:, 0, :2]),
    "tensor by two apart": ((I([0, 0]), slice(None), I([1, -1])), lambda x: x[0, :, :2].T),
    "number by steps": ((..., slice(None, None, 2)), 0.0),
}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_assignment(name: str) -> None:
    place, value = ASSIGNMENTS[name]

    def function(x: torch.Tensor) -> torch.Tensor:
        y = x * 3
        y[place] = value(x) if callable(value) else value
        return y

    export_and_compare(function, uniform(3, 5, 6), **DYNAMIC)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    x = integers(4, 5, low=0, high=9).to(dtype)

    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x.clone()
        y[:, 2] = 1
        y[I([3]), I([-1])] = 0
        return y, x.scatter(0, I([[3]]), 0)

    export_and_compare(function, x)


@pytest.mark.parametrize("offset", [0, 1, -2])
def test_diagonal_scatter(offset: int) -> None:
    def scattered(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        source = x.diagonal(offset, 2, 1) + 9
        cleared = x.clone()
        cleared.diagonal(offset, 2, 1).fill_(7)
        return x.diagonal_scatter(source, offset, 2, 1), cleared

    axes, sizes = {"x0": {0: "B"}}, [{"B": 1}, {"B": 3}]
    export_and_compare(scattered, uniform(2, 5, 4), dynamic_axes=axes, sizes=sizes)


def test_a_scalar() -> None:
    def function(x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.scatter(0, i, 7.5), x.scatter_add(0, i, x), x.index_add(0, i, x)

    export_and_compare(function, torch.tensor(2.0), torch.tensor(0))


def test_no_position() -> None:
    def function(x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.scatter(0, i, x), x.scatter_add(0, i, x), x.index_add(0, i[0], x[:0])

    export_and_compare(function, uniform(4, 5), torch.zeros(2, 0, dtype=torch.int64))


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_truth_values_add_up_to_truth() -> None:
    x, y = (integers(4, 5, low=0, high=1, dtype=torch.bool, seed=n) for n in range(2))
    i = integers(4, 5, low=0, high=3)

    def function(x: torch.Tensor, y: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        added = x.scatter(0, i, y, reduce="add"), x.scatter_add(0, i, y)
        return *added, x.scatter(1, i, True, reduce="add"), x.index_add(0, i[:, 0], y)

    export_and_compare(function, x, y, i)
