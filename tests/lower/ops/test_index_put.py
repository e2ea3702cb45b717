"""Assignments by masks and by positions in the flat tensor change what PyTorch's change."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "B", 1: "S"}},
    "sizes": [{"B": 1, "S": 9}, {"B": 4, "S": 4}, {"B": 2, "S": 11}],
    "custom_extensions": ["tract_assert S >= 4"],
}


def test_assignment_by_mask() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, z, w = x * 3, x * 4, x * 5
        y[x > 1] = 2.5
        z[:, x[0, :, 0] > 0] = -1.0
        w[x[..., 0] > 0, :] = 7.0
        return y, z, w

    export_and_compare(function, uniform(3, 5, 6), **DYNAMIC)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_values_for_each_element_of_a_mask(accumulate: bool, dtype: torch.dtype) -> None:
    x, rows = (integers(6, 4, low=0, high=5, seed=n).to(dtype) for n in range(2))
    columns, numbers = rows[:, :2], rows.flatten()[:10]
    some_rows = torch.tensor([True, False, True, True, False, True])
    some_columns = torch.tensor([False, True, True, False])
    some = torch.zeros(24, dtype=torch.bool)
    some[::7] = some[3:10] = True

    def function(x: torch.Tensor, *masks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = rows[:4], columns, numbers
        places = [masks[0]], [None, masks[1]], [masks[2]]
        pairs = zip(places, values, strict=True)
        return tuple(torch.ops.aten.index_put(x, p, v, accumulate) for p, v in pairs)

    export_and_compare(function, x, some_rows, some_columns, some.view(6, 4))


def test_one_row_for_all_of_a_mask() -> None:
    def function(x: torch.Tensor, mask: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        return torch.index_put(x, (mask,), row)

    mask = torch.tensor([True, False, True])
    axes = {"x0": {0: "B"}, "x1": {0: "B"}}
    sizes = [{"B": 1}, {"B": 5}]
    export_and_compare(
        function, uniform(3, 4), mask, uniform(4, seed=1), dynamic_axes=axes, sizes=sizes
    )


@pytest.mark.parametrize("accumulate", [False, True])
def test_put(accumulate: bool) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        places = torch.tensor([[0, -1], [7, 5]])
        more = torch.tensor([[0, -1], [7, 7]]) if accumulate else places
        return x.put(more, y, accumulate)

    export_and_compare(function, uniform(3, 5, 6), uniform(2, 2), **DYNAMIC)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_masked_scatter(dtype: torch.dtype) -> None:
    x, source = (integers(3, 4, 5, low=0, high=1, dtype=dtype, seed=i) for i in range(2))
    mask = integers(4, 5, low=0, high=1, dtype=torch.bool, seed=2)
    axes, sizes = {"x0": {0: "B"}, "x2": {0: "B"}}, [{"B": 1}, {"B": 4}]
    export_and_compare(torch.masked_scatter, x, mask, source, dynamic_axes=axes, sizes=sizes)


def test_masked_scatter_takes_sources_in_order() -> None:
    def filled(x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return x.masked_scatter((x[..., :1] > 0), features)

    axes, sizes = {"x0": {0: "B", 1: "S"}}, [{"B": 1, "S": 1}, {"B": 3, "S": 4}]
    export_and_compare(filled, uniform(2, 5, 4), uniform(12, 4), dynamic_axes=axes, sizes=sizes)


def test_masked_scatter_of_nothing() -> None:
    def filled(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x.masked_scatter(mask, x[:0])

    export_and_compare(filled, uniform(2, 3), torch.zeros(2, 3, dtype=torch.bool))
