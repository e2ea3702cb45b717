"""Reductions give PyTorch's numbers, types and shapes over fixed and symbolic axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform

Function = Callable[[torch.Tensor], Any]

#: What each reduction gives over one axis, over several, over all, and with the axes kept.
REDUCTIONS: dict[str, Function] = {
    "sum": lambda x: (x.sum(1), x.sum((0, -1)), x.sum(), x.sum((0, 2), keepdim=True)),
    "mean": lambda x: (x.mean(1), x.mean((0, -1)), x.mean(), x.mean(-1, keepdim=True)),
    "prod": lambda x: (x.prod(1), x.prod(), x.prod(-1, keepdim=True)),
    "amax": lambda x: (x.amax(1), x.amax((0, -1)), x.amax(), x.amax(-1, keepdim=True)),
    "amin": lambda x: (x.amin(1), x.amin((0, -1)), x.amin(), x.amin(-1, keepdim=True)),
    "aminmax": lambda x: (*x.aminmax(), *x.aminmax(dim=1), *x.aminmax(dim=-1, keepdim=True)),
    "max": lambda x: (x.max(), *x.max(1), *x.max(-1, keepdim=True)),
    "min": lambda x: (x.min(), *x.min(1), *x.min(-1, keepdim=True)),
    "argmax": lambda x: (x.argmax(), x.argmax(1), x.argmax(-1, keepdim=True)),
    "argmin": lambda x: (x.argmin(), x.argmin(1), x.argmin(-1, keepdim=True)),
    "var": lambda x: (x.var(), x.var(1), x.var((0, 2)), x.var(1, unbiased=False, keepdim=True)),
    "std": lambda x: (x.std(), x.std(1), x.std((0, 2)), x.std(1, unbiased=False, keepdim=True)),
    "std_corrected": lambda x: (x.std(1, correction=2), x.std(correction=0.5), x.var(correction=0)),
    "var_mean": lambda x: (*torch.var_mean(x), *torch.var_mean(x, dim=(0, 1), keepdim=True)),
    "std_mean": lambda x: (*torch.std_mean(x), *torch.std_mean(x, dim=1, correction=0)),
    "norm": lambda x: (x.norm(), x.norm(dim=1), x.norm(p=1, dim=(0, 2), keepdim=True)),
    "vector_norm": lambda x: tuple(
        torch.linalg.vector_norm(x, ord=p, dim=1) for p in (0, 1, 2, 3, 0.5, math.inf, -math.inf)
    ),
    "linalg_norm": lambda x: (torch.linalg.norm(x), torch.linalg.norm(x, dim=-1, ord=1)),
    "normalize": lambda x: torch.nn.functional.normalize(x, dim=1),
    "logsumexp": lambda x: (x.logsumexp(1), x.logsumexp((0, -1), keepdim=True)),
    "cumsum": lambda x: (x.cumsum(0), x.cumsum(-1)),
    "count_nonzero": lambda x: (x.count_nonzero(), x.count_nonzero(1), x.count_nonzero((0, 2))),
    "any": lambda x: ((x > 2).any(), (x > 2).any(1), (x > 2).any((0, 2), keepdim=True)),
    "all": lambda x: ((x > -2).all(), (x > -2).all(1), (x > -2).all((0, 2), keepdim=True)),
}
OF_INTEGERS = [
    *("sum", "prod", "amax", "amin", "aminmax", "max", "min", "argmax", "argmin", "cumsum"),
    *("count_nonzero", "any", "all"),
]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(name: str) -> None:
    axes = {"x0": {0: "B", 1: "S"}}
    sizes = [{"B": 1, "S": 3}, {"B": 4, "S": 9}]
    export_and_compare(
        REDUCTIONS[name], uniform(2, 5, 7), dynamic_axes=axes, sizes=sizes, atol=1e-4
    )


def test_reductions_of_half_precision() -> None:
    x = uniform(2, 5, 7, low=0.5, high=2).half()
    functions = [f for name, f in REDUCTIONS.items() if name != "prod"]
    export_and_compare(lambda x: [f(x) for f in functions], x, **HALF)


def test_sums_of_many_halves_keep_their_digits() -> None:
    x = uniform(3, 20_000, low=0, high=1).half()
    export_and_compare(lambda x: (x.sum(1), x.mean(1), x.mean(0), x.cumsum(1)), x, rtol=2e-3)


def test_running_sums_add_up_in_float64() -> None:
    x = uniform(3, 20_000, low=0, high=100)
    export_and_compare(lambda x: (x.cumsum(1), x.T.cumsum(0)), x, rtol=0, atol=0)


def test_reductions_of_float64() -> None:
    x = uniform(2, 5, 7).double()
    export_and_compare(lambda x: [f(x) for f in REDUCTIONS.values()], x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_reductions_of_integers(dtype: torch.dtype) -> None:
    x = integers(2, 5, 7, low=0, high=5, dtype=dtype)
    export_and_compare(lambda x: [REDUCTIONS[name](x) for name in OF_INTEGERS], x)


def test_reductions_of_truth_values() -> None:
    x = uniform(2, 5, 7, low=-1) > 0
    export_and_compare(
        lambda x: (
            *(x.sum(), x.sum(1), x.any(), x.all(1), x.any((0, 2)), x.prod(1), x.cumsum(1)),
            *(x.amax(1), x.amin(1), x.count_nonzero(1), x.float().mean(1)),
            *(x.prod(1, dtype=torch.bool), (x | ~x).prod(1, dtype=torch.bool)),
        ),
        x,
    )


def test_sums_of_integers_beyond_32_bits() -> None:
    x = torch.tensor([[2**31, 2**40, -5], [-(2**45), 2**33, 17]])
    export_and_compare(lambda x: (x.sum(), x.sum(0), x.sum(1), x.cumsum(1), x.prod(0)), x)
    x = torch.tensor([[2**31 - 1, 2**31 - 1, 5]], dtype=torch.int32)
    export_and_compare(lambda x: (x.sum(), x.sum(1), x.cumsum(1)), x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_sums_of_integers_overflow_as_in_pytorch(dtype: torch.dtype) -> None:
    limits = torch.iinfo(dtype)
    x = integers(40, 7, low=limits.min, high=limits.max - 1, dtype=dtype)
    export_and_compare(lambda x: (x.sum(), x.sum(0), x.sum(1, dtype=torch.int32)), x)


def test_sum_of_fractions_cut_to_integers() -> None:
    export_and_compare(
        lambda x: x.sum(1, dtype=torch.int64), torch.tensor([[1.5, 1.5], [-0.7, -0.6]])
    )


def test_other_types_of_results() -> None:
    x = integers(3, 4, low=0, high=9)
    export_and_compare(
        lambda x: (
            x.sum(1, dtype=torch.float32),
            x.mean(1, dtype=torch.float32),
            x.prod(1, dtype=torch.float32),
            x.cumsum(1, dtype=torch.float32),
            x.sum(1, dtype=torch.int32),
        ),
        x,
    )
    half = uniform(3, 4, low=0.5).half()
    export_and_compare(
        lambda x: (
            x.sum(1, dtype=torch.float32),
            x.mean(1, dtype=torch.float32),
            torch.linalg.vector_norm(x, dim=1, dtype=torch.float32),
        ),
        half,
    )


def test_logsumexp_of_integers() -> None:
    export_and_compare(lambda x: x.logsumexp(1), integers(3, 4, low=0, high=9))


def test_logsumexp_of_infinities() -> None:
    x = torch.tensor([[-math.inf, -math.inf], [math.inf, 1.0], [-math.inf, 3.0], [900.0, 901.0]])
    export_and_compare(lambda x: x.logsumexp(1), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_the_first_of_equal_extremes(dtype: torch.dtype) -> None:
    x = integers(6, 50, low=0, high=3, dtype=dtype)
    export_and_compare(
        lambda x: (x.argmax(1), x.argmin(1), x.max(1)[1], x.min(0)[1], x.argmax(), x.argmin()), x
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("name", ["amax", "amin", "aminmax", "max", "min", "argmax", "argmin"])
def test_extremes_of_what_is_not_finite(name: str, dtype: torch.dtype) -> None:
    inf, nan, largest = math.inf, math.nan, torch.finfo(dtype).max
    rows = [
        *([inf, inf, inf], [-inf, -inf, -inf], [1, nan, nan], [inf, nan, -inf], [nan, -inf, inf]),
        *([-inf, -largest, -inf], [inf, largest, inf], [-largest] * 3, [largest] * 3),
        *([-inf, inf, 3], [-0.0, -0.0, -0.0], [1e-45, 2e-45, 3e-45]),
    ]
    x = torch.tensor(rows, dtype=dtype)[None]
    axes = {"x0": {0: "B", 1: "S"}}
    export_and_compare(
        lambda x: [REDUCTIONS[name](x), REDUCTIONS[name](x[:, 2:])], x, dynamic_axes=axes
    )
    export_and_compare(lambda x: REDUCTIONS[name](x.mT), x, dynamic_axes=axes)


def test_norms_of_what_is_not_finite() -> None:
    x = torch.tensor([[math.inf, -math.inf], [1, math.nan], [2, math.inf]])
    export_and_compare(
        lambda x: [torch.linalg.vector_norm(x, p, 1) for p in (math.inf, -math.inf)], x
    )


def test_rank_zero() -> None:
    functions: list[Function] = [
        *(torch.sum, torch.mean, torch.prod, torch.amax, torch.max, torch.norm, torch.any),
        *(lambda x: x.sum(0), lambda x: x.cumsum(0), lambda x: x.max(0)),
    ]
    export_and_compare(lambda x: [f(x + i) for i, f in enumerate(functions)], torch.tensor(2.5))
    export_and_compare(lambda x: (torch.argmax(x), x + 1), torch.tensor(2.5))


def test_axes_of_size_one() -> None:
    x = uniform(3, 1, 4)
    export_and_compare(
        lambda x: (x.sum(1), x.mean(1), x.amax(1), x.argmax(1), x.var(1, correction=0)), x
    )


@pytest.mark.filterwarnings("ignore:var.*degrees of freedom")
def test_variance_of_one_element_is_not_a_number() -> None:
    axes = {"x0": {1: "S"}}
    export_and_compare(lambda x: x.var(1), uniform(3, 4), dynamic_axes=axes, sizes=[{"S": 1}])
    export_and_compare(lambda x: x.var(1), uniform(3, 1))


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_nothing_to_reduce() -> None:
    x = torch.zeros(3, 0)
    export_and_compare(lambda x: (x.sum(1), x.prod(1), (x > 0).any(1), (x > 0).all(1)), x)
    export_and_compare(lambda x: (x.mean(), x.mean(1), x.var(1, correction=0), x.std()), x)


@pytest.mark.filterwarnings("ignore:var.*degrees of freedom")
def test_variance_of_a_symbolic_axis_without_elements() -> None:
    export_and_compare(
        lambda x: (x.var(1), x.var(1, correction=0), x.mean(1)),
        uniform(3, 4, 2),
        dynamic_axes={"x0": {1: "S"}},
        sizes=[{"S": 0}, {"S": 1}],
        custom_extensions=["tract_assert S >= 0"],
    )


def test_variance_keeps_its_digits_far_from_zero() -> None:
    export_and_compare(lambda x: (x.var(1), x.std(1)), uniform(3, 500) + 1000, rtol=1e-3)


def test_logsumexp_of_nothing() -> None:
    export_and_compare(lambda x: (x.logsumexp(1), x.logsumexp(0)), torch.zeros(2, 0, 3))


def test_where_truth_values_are_extreme() -> None:
    x = integers(4, 5, low=0, high=1, dtype=torch.bool)
    export_and_compare(lambda x: (*x.max(1), *x.min(0), *x.max(1, keepdim=True)), x)
