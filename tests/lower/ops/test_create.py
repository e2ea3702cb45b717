"""Tensors made from sizes and numbers, triangles, copies and casts are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from harness import export, export_and_compare
from lower.ops.inputs import HALF, integers, uniform
from torchtract.errors import UnsupportedOpError

DTYPES = [
    *(torch.float32, torch.float16, torch.float64),
    *(torch.int64, torch.int32, torch.uint8, torch.bool),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_number_everywhere(dtype: torch.dtype) -> None:
    x = uniform(2, 3)
    export_and_compare(
        lambda x: (
            torch.full((2, 3), 7, dtype=dtype),
            torch.full((x.shape[0], 2), 1, dtype=dtype),
            torch.zeros(4, dtype=dtype),
            torch.ones(x.shape[0], dtype=dtype),
            torch.zeros_like(x, dtype=dtype),
            torch.ones_like(x, dtype=dtype),
            torch.full_like(x, 5, dtype=dtype),
            x.new_zeros((1, x.shape[0]), dtype=dtype),
            x.new_ones((2, 2), dtype=dtype),
            x.new_full((x.shape[0],), 3, dtype=dtype),
        ),
        x,
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 5}],
    )


def test_numbers_of_their_own_type() -> None:
    export_and_compare(
        lambda x: (
            *(torch.full((2,), 1.5), torch.full((3,), 2), torch.full((4,), True)),
            *(torch.full((5,), -math.inf), torch.full((6,), math.nan), torch.full((7,), 2**40)),
            *(torch.scalar_tensor(2.5) + x, torch.tensor(3) + x, torch.tensor([1.0, 2.0]) + x),
        ),
        uniform(2),
    )


def test_sizes_as_numbers() -> None:
    export_and_compare(
        lambda x: (torch.full((2,), x.shape[0]), x.new_full((2,), x.shape[0] * 2 + 1)),
        uniform(3),
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 9}],
    )


def test_filled_in_place() -> None:
    export_and_compare(
        lambda x: (
            torch.empty(2, 3).fill_(1.5),
            x.clone().zero_(),
            torch.empty_like(x).fill_(2),
            x.new_empty(4).fill_(3),
            x.clone().fill_(torch.tensor(4.0)),
        ),
        uniform(2, 3),
    )


def test_no_elements() -> None:
    export_and_compare(lambda x: (torch.zeros(0, 3), x.new_ones(2, 0)), uniform(3))


# Ranges.


def test_fixed_ranges() -> None:
    export_and_compare(
        lambda x: (
            *(torch.arange(7), torch.arange(2, 9), torch.arange(1, 12, 3), torch.arange(5, -1, -2)),
            *(torch.arange(4.0), torch.arange(0, 1, 0.1), torch.arange(6, dtype=torch.int32)),
            *(torch.arange(3, dtype=torch.float16), torch.arange(0) + 1),
            *(torch.linspace(-1, 2, 7), torch.linspace(0, 5, 1), torch.linspace(3, 3, 4) + x),
        ),
        uniform(4),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_linspace_between_tensors(dtype: torch.dtype) -> None:
    export_and_compare(
        lambda x, n: (
            torch.linspace(x[0], x[1], 9, dtype=dtype),
            *(torch.linspace(x[0], 3, 8, dtype=dtype), torch.linspace(n, x[1], 1, dtype=dtype)),
        ),
        uniform(2),
        torch.tensor(4),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64])
def test_logspace(dtype: torch.dtype) -> None:
    options: dict[str, Any] = {"dtype": dtype}
    export_and_compare(
        lambda x, n: (
            *(torch.logspace(4.3, -3, 4, **options), torch.logspace(1, 4, 7, base=2.5, **options)),
            *(torch.logspace(x, -3, 9, **options), torch.logspace(0, x, 6, base=2, **options)),
            *(torch.logspace(x, n, 8, base=1.1, **options), torch.logspace(x, n, 1, **options)),
            *(torch.logspace(4.3, n, 1, **options), torch.logspace(4.3, n, 2, **options)),
            torch.logspace(n, x, 1, **options),
        ),
        torch.tensor(4.3, dtype=dtype),
        torch.tensor(3),
    )


def test_spaces_of_complex_numbers() -> None:
    z = torch.tensor(0.3 + 1.2j)

    def spaces(z: torch.Tensor) -> torch.Tensor:
        line = torch.linspace(z, 2 - 3j, 6, dtype=torch.complex64)
        between = torch.logspace(z, 2, 5, dtype=torch.complex64)
        return torch.view_as_real(torch.cat([line, between, torch.logspace(1 + 2j, -1j, 4) * z]))

    export_and_compare(spaces, z)
    for space in (torch.linspace, torch.logspace):
        with pytest.raises(UnsupportedOpError, match="takes it for real numbers; give its dtype"):
            export_and_compare(lambda z, space=space: space(z, 2, 5).abs(), z)


def test_linspace_of_integers_between_tensors_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match=r"linspace.*cuts off fractions"):
        export_and_compare(lambda x: torch.linspace(x, 3, 8, dtype=torch.int64), torch.tensor(4.3))


@pytest.mark.parametrize("dtype", [None, torch.int32, torch.float32, torch.float16])
def test_ranges_to_a_symbol(dtype: torch.dtype | None) -> None:
    export_and_compare(
        lambda x: (
            torch.arange(x.shape[0], dtype=dtype),
            torch.arange(1, x.shape[0] + 3, dtype=dtype),
            torch.arange(1, x.shape[0] * 2 + 2, 2, dtype=dtype),
            torch.arange(0, x.shape[0] + 1, 3, dtype=dtype),
            torch.arange(x.shape[0] - 1, -1, -1, dtype=dtype),
            torch.arange(-x.shape[0], x.shape[0], dtype=dtype),
            torch.arange(x.shape[0], -x.shape[0], -1.0, dtype=dtype),
            torch.arange(1.0, x.shape[0] + 3, 2, dtype=dtype),
        ),
        uniform(4),
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 3}, {"S": 11}],
    )


def test_ranges_take_part_in_arithmetic() -> None:
    export_and_compare(
        lambda x: (
            x + torch.arange(x.shape[0])[:, None],
            x[torch.arange(x.shape[0] - 1, -1, -1)],
            torch.arange(x.shape[0])[None, :] <= torch.arange(x.shape[0])[:, None],
            torch.arange(x.shape[0]) // 2 * 3 % 4,
        ),
        uniform(4, 5),
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 7}],
    )


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_ranges_of_exact_fractions_to_a_symbol(dtype: torch.dtype | None) -> None:
    export_and_compare(
        lambda x: (
            torch.arange(0, x.shape[0], 1.25, dtype=dtype),
            torch.arange(0.5, x.shape[0] + 1, 0.75, dtype=dtype),
            torch.arange(-2, x.shape[0] * 3, 2.5, dtype=dtype),
            torch.arange(x.shape[0], x.shape[0] * 2, 0.0625, dtype=dtype),
            torch.arange(0.5, x.shape[0], dtype=dtype),
            torch.arange(-x.shape[0], 7.5, dtype=dtype),
            torch.arange(x.shape[0], 0, -0.75, dtype=dtype),
            torch.arange(0, x.shape[0] / 2, dtype=dtype),
            torch.arange(0, x.shape[0] * 0.75, 2, dtype=dtype),
            torch.arange(0, x.shape[0], 1.25, dtype=dtype).long(),
        ),
        uniform(4),
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": n} for n in (*range(1, 12), 1000, 200001)],
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize(
    ("start", "step", "dtype"),
    [
        (0, 0.1, None),
        (0.3, 1, None),
        (0, 1.3, torch.float64),
        (0, 1.25, torch.float16),
        (0.5, 1, torch.int64),
    ],
    ids=str,
)
def test_ranges_that_processors_round_in_their_ways_are_refused(
    start: float, step: float, dtype: torch.dtype | None
) -> None:
    with pytest.raises(UnsupportedOpError, match=f"from {start} to .* in steps of {step}"):
        export(
            lambda x: torch.arange(start, x.shape[0], step, dtype=dtype),
            uniform(4),
            dynamic_axes={"x0": {0: "S"}},
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_eye(dtype: torch.dtype) -> None:
    export_and_compare(
        lambda x: (
            *(torch.eye(3, dtype=dtype), torch.eye(3, 5, dtype=dtype)),
            *(torch.eye(x.shape[0], dtype=dtype), torch.eye(x.shape[0], 3, dtype=dtype)),
        ),
        uniform(4),
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 6}],
    )


# Triangles and indicators.


@pytest.mark.parametrize("dtype", DTYPES)
def test_triangles(dtype: torch.dtype) -> None:
    x = integers(2, 4, 5, low=1, high=1 if dtype == torch.bool else 9, dtype=dtype)
    export_and_compare(
        lambda x: (x.tril(), x.triu(), x.tril(1), x.triu(-2), x.tril(-9), x.triu(x.shape[1] - 2)),
        x,
        dynamic_axes={"x0": {1: "S"}},
        sizes=[{"S": 1}, {"S": 7}],
    )


def test_causal_mask() -> None:
    def mask(x: torch.Tensor) -> torch.Tensor:
        size = x.shape[0]
        return torch.triu(torch.full((size, size), -math.inf), diagonal=1)

    export_and_compare(mask, uniform(4), dynamic_axes={"x0": {0: "S"}}, sizes=[{"S": 1}, {"S": 6}])


def test_indices_of_triangles() -> None:
    export_and_compare(
        lambda x: (torch.tril_indices(3, 4), torch.triu_indices(3, 4, offset=1) + x.long()),
        uniform(1),
    )


def test_one_hot() -> None:
    x = integers(4, 3, low=0, high=5)
    axes = {"x0": {0: "S"}}
    export_and_compare(lambda x: F.one_hot(x, 6), x, dynamic_axes=axes, sizes=[{"S": 1}, {"S": 9}])


# Casts and copies.


@pytest.mark.parametrize("source", DTYPES)
def test_casts(source: torch.dtype) -> None:
    x = integers(5, 6, low=0, high=1 if source == torch.bool else 3, dtype=source)
    export_and_compare(lambda x: [x.to(dtype) for dtype in DTYPES], x)


def test_casts_of_fractions_and_negative_numbers() -> None:
    x = torch.tensor([-2.7, -0.5, -0.0, 0.0, 0.5, 1.5, 2.7, 1e5])
    export_and_compare(lambda x: (x.long(), x.int(), x.bool(), x.double()), x)
    export_and_compare(lambda x: (x.half(), x.half().float()), x[:-1], **HALF)
    export_and_compare(
        lambda x: (x.to(torch.uint8), x.float(), x.bool()), torch.tensor([-1, 256, 7])
    )


def test_other_ways_to_cast() -> None:
    x, y = uniform(3, 4), integers(2, low=0, high=3)
    export_and_compare(
        lambda x, y: (x.type_as(y), x.to(y), x.to("cpu", torch.float64), y.to(x), x.to("cpu")),
        x,
        y,
    )


def test_copies() -> None:
    x = uniform(3, 4)
    export_and_compare(
        lambda x: (x.clone(), x.contiguous() + 1, x.detach() * 2, x.T.contiguous(), x.cpu() - 1), x
    )


def test_masks_of_positions_are_right_at_every_size() -> None:
    def masks(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        columns = torch.arange(x.shape[1])[None, None, :]
        rows = torch.arange(x.shape[0])[None, :, None]
        conditions = (columns < 2, columns >= 2, columns < rows, rows >= columns, columns < 0)
        return tuple(torch.where(c, columns + 100, rows) for c in conditions)

    export_and_compare(
        masks,
        torch.rand(3, 5),
        dynamic_axes={"x0": {0: "B", 1: "S"}},
        sizes=[{"B": 1, "S": 1}, {"B": 4, "S": 2}, {"B": 7, "S": 3}],
    )
