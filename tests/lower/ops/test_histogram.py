"""Elements are counted in PyTorch's bins, those on an edge and outside of all too."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import integers, uniform
from torchtract.errors import UnsupportedOpError

AXES: dict[str, Any] = {"dynamic_axes": {"x0": {0: "S"}}, "sizes": [{"S": 1}, {"S": 7}]}


@pytest.mark.parametrize(("bins", "low", "high"), [(1, 0, 1), (7, -2, 3), (49, 0, 49), (3, 0, 0.3)])
def test_histc(bins: int, low: float, high: float) -> None:
    on_edges = torch.linspace(low, high, bins + 1)
    beside = torch.cat([on_edges.nextafter(on_edges + 1), on_edges.nextafter(on_edges - 1)])
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0])
    x = torch.cat([on_edges, beside, special, uniform(50), integers(50, low=0, high=49).float()])
    export_and_compare(lambda x: x.histc(bins, low, high), x, **AXES)


@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_histogram(density: bool, dtype: torch.dtype) -> None:
    def function(x: torch.Tensor, edges: torch.Tensor, w: torch.Tensor) -> tuple[Any, ...]:
        numbers = torch.histogram(x, 5, range=(-2.0, 3.0), density=density)
        return *numbers, *torch.histogram(x, edges, weight=w, density=density)

    x = torch.cat([uniform(6, 6), integers(4, 6, low=-3, high=3).float()]).to(dtype)
    edges = torch.tensor([-2.0, -1.0, 0.5, 3.0], dtype=dtype)
    export_and_compare(function, x, edges, uniform(10, 6, low=0.0, seed=1).to(dtype))


def test_a_range_from_the_data_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="range depends on the data"):
        export(lambda x: x.histc(4), uniform(5))
    with pytest.raises(UnsupportedOpError, match="range depends on the data"):
        export(lambda x: torch.histogram(x, 4).hist, uniform(5))
