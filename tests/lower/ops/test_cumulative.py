"""Running products, extremes and sums of powers, over axes of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform

Function = Callable[[torch.Tensor], Any]

CUMULATIVE: dict[str, Function] = {
    "cumprod": lambda x: (x.cumprod(0), x.cumprod(1), x.cumprod(-1)),
    "cummax": lambda x: (*x.cummax(0), *x.cummax(1), *x.cummax(-1)),
    "cummin": lambda x: (*x.cummin(0), *x.cummin(1), *x.cummin(-1)),
}
OF_FLOATS = CUMULATIVE | {
    "logcumsumexp": lambda x: (x.logcumsumexp(0), x.logcumsumexp(1), x.logcumsumexp(-1)),
}
EXTENSIONS = ["tract_assert B >= 1", "tract_assert S >= 0"]
EDGES = [
    1.0,
    -torch.inf,
    2.0,
    2.0,
    torch.inf,
    torch.inf,
    -torch.inf,
    3.0,
    torch.nan,
    5.0,
    torch.nan,
]


@pytest.mark.parametrize("name", OF_FLOATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_every_size(name: str, dtype: torch.dtype) -> None:
    x = uniform(2, 5, 3, low=-2, high=2).to(dtype)
    axes, sizes = {"x0": {0: "B", 1: "S"}}, [{"B": 1, "S": 0}, {"B": 3, "S": 1}, {"B": 4, "S": 21}]
    options = HALF if dtype == torch.float16 else {}
    export_and_compare(
        OF_FLOATS[name],
        x,
        dynamic_axes=axes,
        sizes=sizes,
        custom_extensions=EXTENSIONS,
        **options,
    )


@pytest.mark.parametrize("name", CUMULATIVE)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_whole_numbers(name: str, dtype: torch.dtype) -> None:
    x = integers(3, 4, 5, low=0, high=1 if dtype == torch.bool else 4, dtype=dtype)
    export_and_compare(CUMULATIVE[name], x, dynamic_axes={"x0": {1: "S"}}, sizes=[{"S": 9}])


@pytest.mark.parametrize("name", OF_FLOATS)
def test_infinities_and_nan(name: str) -> None:
    x = torch.tensor([EDGES, EDGES[::-1], EDGES[2:] + EDGES[:2]])
    export_and_compare(OF_FLOATS[name], x)


def test_products_that_float32_could_not_hold_on_the_way() -> None:
    x = torch.tensor([1e30, 1e30, 1e-30, 1e-30, 1e-30])
    export_and_compare(lambda x: (x.cumprod(0), x.cumprod(0, dtype=torch.float64)), x)


@pytest.mark.parametrize("name", OF_FLOATS)
def test_no_elements(name: str) -> None:
    export_and_compare(lambda x: OF_FLOATS[name](x.mT), torch.empty(2, 0, 3))


def test_scalars() -> None:
    functions = (torch.cumprod, torch.cummax, torch.logcumsumexp)
    export_and_compare(lambda x: [f(x, 0) for f in functions], torch.tensor(1.5))
