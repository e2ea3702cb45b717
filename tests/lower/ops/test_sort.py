"""Sorts give PyTorch's order: of equal numbers, of infinities and of NaN, at every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

Function = Callable[[torch.Tensor], Any]

AXES = {"x0": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 5}, {"B": 3, "S": 1}, {"B": 4, "S": 19}]
EDGES = [torch.inf, 2.0, torch.nan, 2.0, -0.0, -torch.inf, torch.nan, 0.0, 65504.0, torch.inf, -1.0]

#: Orders that are the same however equal elements are treated.
STABLE: dict[str, Function] = {
    "sort": lambda x: x.sort(dim=1, stable=True),
    "sort_descending": lambda x: torch.sort(x, dim=0, descending=True, stable=True),
    "argsort": lambda x: x.argsort(dim=-2, stable=True),
    "msort": torch.msort,
    "topk": lambda x: x.topk(1, dim=1).values,
    "topk_smallest": lambda x: x.topk(3, largest=False, sorted=True).values,
    "kthvalue": lambda x: x.kthvalue(4).values,
    "kthvalue_keepdim": lambda x: x.kthvalue(1, dim=0, keepdim=True).values,
    "median": lambda x: (x.median(), x.median(1).values, x.median(0, keepdim=True).values),
    "nanmedian": lambda x: (x.nanmedian(), x.nanmedian(1).values, x.nanmedian(-1, True).values),
}
#: Orders that say where elements stood, for tensors without equal ones.
POSITIONS: dict[str, Function] = {
    "topk": lambda x: x.topk(3),
    "topk_of_a_size": lambda x: x.topk(x.shape[1] // 2 + 1, dim=1),
    "topk_of_all": lambda x: x.topk(x.shape[1], dim=1, largest=False),
    "kthvalue": lambda x: x.kthvalue(x.shape[1], dim=1, keepdim=True),
    "median": lambda x: (*x.median(1), *x.median(-1, keepdim=True)),
    "nanmedian": lambda x: (*x.nanmedian(1), *x.nanmedian(-1, keepdim=True)),
}
QUANTILES: dict[str, Function] = {
    "quantile": lambda x: x.quantile(0.3, dim=1),
    "quantiles": lambda x: x.quantile(torch.tensor([0.0, 0.25, 1.0]), dim=-1, keepdim=True),
    "nearest": lambda x: x.quantile(0.6, dim=0, interpolation="nearest"),
    "nanquantile": lambda x: x.nanquantile(0.3, dim=1),
}
SCALARS: dict[str, Function] = {
    "sort": torch.sort,
    "topk": lambda x: x.topk(1),
    "kthvalue": lambda x: x.kthvalue(1, keepdim=True),
    "median": lambda x: (x.median(), *x.median(0)),
    "mode": torch.mode,
}


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8]
)
def test_equal_elements(name: str, dtype: torch.dtype) -> None:
    x = integers(2, 7, 5, low=0, high=4, dtype=dtype)
    export_and_compare(STABLE[name], x, dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_infinities_and_nan(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([EDGES, EDGES[::-1]], dtype=dtype)
    export_and_compare(STABLE[name], x, dynamic_axes={"x0": {0: "B"}}, sizes=[{"B": 3}])


@pytest.mark.parametrize("name", POSITIONS)
def test_positions(name: str) -> None:
    export_and_compare(POSITIONS[name], uniform(2, 7, 5), dynamic_axes=AXES, sizes=SIZES[:2:2])


def test_positions_of_nan() -> None:
    x = torch.tensor([[1.0, torch.nan, 0.5, torch.nan], [3.0, 2.0, 1.0, 0.0]])
    export_and_compare(lambda x: (*x.median(1), *x.sort(1)), x)


@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles(name: str) -> None:
    x = uniform(2, 7, 5)
    x[0, 2, 1] = torch.nan
    export_and_compare(QUANTILES[name], x, dynamic_axes=AXES, sizes=SIZES[::2])


def test_truth_values() -> None:
    x = integers(4, 9, low=0, high=1, dtype=torch.bool)
    export_and_compare(lambda x: x.sort(dim=1, stable=True), x)


@pytest.mark.parametrize("name", SCALARS)
def test_scalars(name: str) -> None:
    export_and_compare(SCALARS[name], torch.tensor(1.5))


def test_nothing_to_sort() -> None:
    functions: list[Function] = [lambda x: x.sort(1), lambda x: x.topk(0), torch.median]
    export_and_compare(lambda x: [f(x) for f in functions], torch.empty(2, 0))
    axes = {"x0": {0: "S"}}
    extensions = ["tract_assert S >= 0"]
    x = uniform(4)
    export_and_compare(
        torch.sort, x, dynamic_axes=axes, sizes=[{"S": 0}], custom_extensions=extensions
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_mode(dtype: torch.dtype) -> None:
    x = integers(3, 9, 4, low=0, high=1 if dtype == torch.bool else 4).to(dtype)
    functions: list[Function] = [lambda x: x.mode(1), lambda x: x.mode(1, keepdim=True)]
    export_and_compare(
        lambda x: [f(x) for f in functions], x, dynamic_axes=AXES, sizes=[{"B": 2, "S": 12}]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize("right", [False, True])
def test_places_in_a_sorted_tensor(dtype: torch.dtype, right: bool) -> None:
    sequence = integers(2, 6, low=0, high=9, dtype=dtype).sort(1).values
    x = integers(2, 5, low=-1, high=10, dtype=dtype, seed=1)

    def places(sequence: torch.Tensor, x: torch.Tensor) -> Any:
        return (
            torch.searchsorted(sequence, x, right=right),
            torch.searchsorted(sequence[0], x, side="right", out_int32=True),
            torch.searchsorted(sequence[1], 4, right=right),
            torch.bucketize(x, sequence[0], right=right),
            torch.bucketize(4, sequence[0], right=right),
        )

    axes = {"x0": {1: "N"}, "x1": {1: "S"}}
    sizes = [{"N": 1, "S": 4}, {"N": 3, "S": 1}]
    export_and_compare(places, sequence, x, dynamic_axes=axes, sizes=sizes)


def test_places_with_an_order_and_nan() -> None:
    sequence = uniform(7)
    x = torch.tensor([torch.nan, 0.0, torch.inf, -torch.inf])
    order = sequence.argsort()
    export_and_compare(lambda s, x, o: torch.searchsorted(s, x, sorter=o), sequence, x, order)
