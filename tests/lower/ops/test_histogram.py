"""Histograms count as PyTorch does, at the edges of bins too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import integers, uniform
from torchtract.errors import UnsupportedOpError

DTYPES = [torch.float32, torch.float64]
DYNAMIC: dict[str, Any] = {"dynamic_axes": {"x0": {0: "S"}}, "sizes": [{"S": 1}, {"S": 300}]}


def with_edges(dtype: torch.dtype) -> torch.Tensor:
    """Numbers, among them those where bins of a tenth and a third begin, and what is no number."""
    tenths = torch.arange(-10, 11, dtype=dtype) / 10
    thirds = torch.arange(-9, 10, dtype=dtype) / 3
    odd = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 7.0], dtype=dtype)
    return torch.cat([uniform(40).to(dtype), tenths, thirds, odd])


@pytest.mark.parametrize("bins", [1, 3, 10, 70])
def test_histc(bins: int) -> None:
    def of_range(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.histc(x, bins, -1, 1), torch.histc(x, bins, 0, 3), torch.histc(x, bins, -3, 0)

    def of_data(x: torch.Tensor) -> torch.Tensor:
        return torch.histc(x, bins)

    export_and_compare(of_range, with_edges(torch.float32), **DYNAMIC)
    export_and_compare(of_data, with_edges(torch.float32)[:-6], **DYNAMIC)


@pytest.mark.parametrize(("bins", "low", "high"), [(1, 0, 1), (7, -2, 3), (49, 0, 49), (3, 0, 0.3)])
def test_histc_beside_edges(bins: int, low: float, high: float) -> None:
    on_edges = torch.linspace(low, high, bins + 1)
    beside = torch.cat([on_edges.nextafter(on_edges + 1), on_edges.nextafter(on_edges - 1)])
    x = torch.cat([on_edges, beside, integers(50, low=0, high=49).float()])
    export_and_compare(lambda x: x.histc(bins, low, high), x, **DYNAMIC)


def test_histc_of_positions() -> None:
    def function(n: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.histc(n.float(), 4, 0, 3), torch.histc(n.float(), 3, 1, 2.5)

    export_and_compare(function, integers(8, 3, low=0, high=3), **DYNAMIC)


def test_histc_of_one_number() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.histc(x, 5), torch.histc(x[0, 0], 4), torch.histc(x, 4, 2, 2)

    export_and_compare(function, torch.full((3, 2), 2.0))
    export_and_compare(lambda x: torch.histc(x, 5), torch.zeros(0, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [False, True])
def test_histogram(dtype: torch.dtype, density: bool) -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        edges = torch.tensor([-2.0, -1.0, 0.5, 3.0], dtype=dtype)
        weight = x.abs() + 1
        return (
            *torch.histogram(x, 6, range=(-3.0, 3.0), density=density),
            *torch.histogram(x, 10, range=(-1.0, 1.0), weight=weight, density=density),
            *torch.histogram(x, edges, weight=weight, density=density),
        )

    export_and_compare(function, with_edges(dtype)[:-6].repeat(3, 1).T)


def test_histogram_of_one_number() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return *torch.histogram(x, 3, range=(1.0, 4.0)), *torch.histogram(x, 2, range=(2.5, 2.5))

    export_and_compare(function, torch.tensor(2.5))


def test_what_is_rounded_otherwise_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="range depends on the data"):
        export(lambda x: torch.histogram(x, 4).hist, uniform(5))
    with pytest.raises(UnsupportedOpError, match="range depends on the data"):
        export(lambda x: torch.histogramdd(x, [2]).hist, uniform(5, 1))
    with pytest.raises(UnsupportedOpError, match=r"not rounded in torch\.float64"):
        export(lambda x: x.histc(4), uniform(5).double())


def test_numbers_without_a_place_in_a_histogram() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.histogram(x, 5, range=(-1.0, 2.0)))

    export_and_compare(function, with_edges(torch.float32))


BOX = [-2.0, 3.0, -3.0, 2.5]

#: Functions of rows [n, 2].
OF_ROWS: dict[str, Callable[[torch.Tensor], Any]] = {
    "counts": lambda x: torch.histogramdd(x, [3, 4], range=BOX),
    "one count": lambda x: torch.histogramdd(x, 3, range=BOX),
    "density": lambda x: torch.histogramdd(x, [3, 4], range=BOX, density=True),
    "weights": lambda x: torch.histogramdd(x, [3, 2], range=BOX, weight=x[:, 0].abs()),
    "ranges": lambda x: torch.histogramdd(x, [3, 2], range=[-1.0, 2.0, 0.0, 3.0]),
    "edges": lambda x: torch.histogramdd(
        x, [torch.tensor([-3.0, 0.0, 1.0]), torch.tensor([0.0, 2.0])], density=True
    ),
}


@pytest.mark.parametrize("name", OF_ROWS)
def test_histogramdd(name: str) -> None:
    def function(x: torch.Tensor) -> Any:
        counts, edges = OF_ROWS[name](x)
        return counts, *edges

    export_and_compare(function, uniform(9, 2))
