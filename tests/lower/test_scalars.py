"""Floating-point numbers and conditions that are computed from sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from torchtract.errors import CaptureError, ExportError

X = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
AXES = {"x0": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 4}, {"B": 2, "S": 9}, {"B": 5, "S": 1}, {"B": 3, "S": 2053}]

NUMBERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "S / 2": lambda x: x * (x.shape[1] / 2),
    "1 / S": lambda x: x * (1 / x.shape[1]),
    "float(S)": lambda x: x * float(x.shape[1]),
    "1 / float(S / 3)": lambda x: x * (1 / float(x.shape[1] / 3)),
    "B / S": lambda x: x * (x.shape[0] / x.shape[1]),
    "1 / (B * S)": lambda x: x * (1 / x.numel()),
    "-S / 2": lambda x: x * (-x.shape[1] / 2),
    "S * 0.1": lambda x: x * (x.shape[1] * 0.1),
    "S / 3 + 1": lambda x: x + x.shape[1] / 3 + 1,
    "S ** -0.5": lambda x: x * x.shape[1] ** -0.5,
    "S ** 0.3": lambda x: x * x.shape[1] ** 0.3,
    "1.001 ** S": lambda x: x * 1.001 ** x.shape[1],
    "10000 ** (-2 / S)": lambda x: x * 10000 ** (-2 / x.shape[1]),
    "sqrt": lambda x: x / math.sqrt(x.shape[1]),
    "exp": lambda x: x * math.exp(x.shape[1] / 500),
    "pow": lambda x: x * math.pow(x.shape[1], 0.25),
    "fabs": lambda x: x * math.fabs(x.shape[1] - 8),
    "max": lambda x: x * torch.sym_max(x.shape[1] / 3, 2.5),
    "half of the smaller": lambda x: x * (torch.sym_min(x.shape[0], x.shape[1]) * 0.5),
    "of an integer tensor": lambda x: (x * 9).int() * (x.shape[1] / 2),
    "a tensor of one": lambda x: x * torch.tensor(x.shape[1] / 2),
    "a filled tensor": lambda x: torch.full((2, 3), x.shape[1] / 4),
    "in double precision": lambda x: x.double() * (x.shape[1] / 3),
    "an exponent": lambda x: x.abs() ** (1 / x.shape[1]),
    "a bound": lambda x: x.clamp(max=x.shape[1] / 10),
    "positions": lambda x: x * (torch.arange(x.shape[1]) / x.shape[1]),
    "positions of a float": lambda x: torch.arange(x.shape[1]) * (x.shape[1] / 2),
    "a condition": lambda x: x * torch.tensor(3.0) * (x.shape[1] * 2 > x.shape[0] + 8),
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_of_sizes(text: str) -> None:
    # Within the rounding of float32, also where many digits come before the point.
    export_and_compare(NUMBERS[text], X, dynamic_axes=AXES, sizes=SIZES, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x * round(x.shape[1] / 3, 2), "RoundDecimal"),
        (lambda x: x * (x.shape[1] % 2.5), "divides by 2.5"),
        (lambda x: x * 2 ** x.shape[1], "PowByNatural"),
        (lambda x: x * (x.shape[1] / 3 > 2.1), "comparison of floating-point"),
        (lambda x: x / math.log(x.shape[1]), "needs the size to be 7"),
        (lambda x: x * math.isqrt(x.shape[1]), "needs the size to be 7"),
        (lambda x: x * x.sum().item(), r"item\(\)"),
    ],
    ids=["round", "modulo", "power", "condition", "log", "isqrt", "item"],
)
def test_numbers_that_cannot_be_said_are_refused(
    function: Callable[[torch.Tensor], Any], words: str
) -> None:
    with pytest.raises(ExportError, match=rf"(?s)\.py:\d+.*{words}"):
        export(function, X, dynamic_axes=AXES)


def test_a_branch_between_floats_is_refused_without_a_promise_that_cannot_be_kept() -> None:
    with pytest.raises(CaptureError, match=r"runs other code where .* does not hold") as refusal:
        export(lambda x: x * max(x.shape[1] / 2, 3.5), X, dynamic_axes=AXES)
    assert "tract_assert" not in str(refusal.value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1 if x.shape[1] // 2 * 2 < x.shape[1] else x,
        lambda x: x + 1 if x.shape[1] // 4 > 60 else x,
        lambda x: x + 1 if (x.shape[0] + x.shape[1]) // 7 > 9 else x,
    ],
    ids=["odd", "large", "of two"],
)
def test_branches_far_from_the_numbers_of_their_conditions_are_found(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    promises = ["tract_assert S >= 8", "tract_assert B >= 2"]
    axes = {"x0": {0: "B", 1: "S"}}
    with pytest.raises(CaptureError, match="runs other code"):
        export(function, torch.rand(3, 10), dynamic_axes=axes, custom_extensions=promises)


def test_math_is_itself_again_after_tracing() -> None:
    before = math.sqrt
    export(lambda x: x / math.sqrt(x.shape[1]), X, dynamic_axes=AXES)
    assert math.sqrt is before
    with pytest.raises(CaptureError):
        export(lambda x: x if x.sum() > 0 else -x, X)
    assert math.sqrt is before
