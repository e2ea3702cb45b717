"""Divisions and roundings of sizes: PyTorch's numbers at every size, from tract itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from torchtract.errors import ExportError

# Each gives a whole number of the size; what they give is used as a number and as a size.
ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "n // 2": lambda n: n // 2,
    "n - n // 2": lambda n: n - n // 2,  # tract takes n - n / 2 for n / 2
    "2 * n - 2 * (n // 2)": lambda n: 2 * n - 2 * (n // 2),
    "n // 2 - n": lambda n: n // 2 - n,
    "n + n % 2": lambda n: n + n % 2,
    "n - (n - 1) // 2": lambda n: n - (n - 1) // 2,
    "-(-n // 2)": lambda n: -(-n // 2),
    "-n // 3": lambda n: -n // 3,
    "(n - 7) // 2": lambda n: (n - 7) // 2,
    "(3 - n) // 2": lambda n: (3 - n) // 2,
    "(n - 9) % 4": lambda n: (n - 9) % 4,
    "((n - 5) // 2 - 3) // 2": lambda n: ((n - 5) // 2 - 3) // 2,
    "min(2 * n, n - 5) // 3": lambda n: torch.sym_min(2 * n, n - 5) // 3,
    "max(n - 3, 0) // 2": lambda n: torch.sym_max(n - 3, 0) // 2,
    "abs(n - 4)": lambda n: abs(n - 4),
    "ceil(n / 2)": lambda n: math.ceil(n / 2),
    "ceil((n - 4) / 3)": lambda n: math.ceil((n - 4) / 3),
    "ceil(n / 1.25)": lambda n: math.ceil(n / 1.25),
    "floor((n - 6) / 0.75)": lambda n: math.floor((n - 6) / 0.75),
    "ceil((n - 6) / -0.5)": lambda n: math.ceil((n - 6) / -0.5),
    "round((n - 4) / 2.5)": lambda n: round((n - 4) / 2.5),
    "floor(n / 4)": lambda n: math.floor(n / 4),
    "floor((n - 6) * 0.5)": lambda n: math.floor((n - 6) * 0.5),
    "floor(n * 1.5)": lambda n: math.floor(n * 1.5),
    "floor(n / 2 + 0.5)": lambda n: math.floor(n / 2 + 0.5),
    "trunc(n / 3)": lambda n: math.trunc(n / 3),
    "trunc((n - 8) / 3)": lambda n: math.trunc((n - 8) / 3),
    "int(n + 0)": lambda n: int(n + 0),
    "int(n / 3)": lambda n: int(n / 3),
    "int((n - 8) / 3)": lambda n: int((n - 8) / 3),
    "int(n * 0.75)": lambda n: int(n * 0.75),
    "round(n / 2)": lambda n: round(n / 2),  # halves go to the even number
    "round(n / 3)": lambda n: round(n / 3),
    "round(n / 4)": lambda n: round(n / 4),
    "round((n - 9) / 6)": lambda n: round((n - 9) / 6),
    "round(n * 0.25)": lambda n: round(n * 0.25),
}


@pytest.mark.parametrize("text", ROUNDINGS)
def test_roundings_of_sizes(text: str) -> None:
    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n = ROUNDINGS[text](x.shape[1])
        return x * n, torch.arange(torch.sym_max(n, 0))

    export_and_compare(
        both,
        torch.rand(2, 7),
        dynamic_axes={"x0": {1: "S"}},
        sizes=[{"S": n} for n in (*range(14), 101)],
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (lambda n: math.floor(n * 0.3), "not exact.*whole numbers"),
        (lambda n: math.floor(n / 3 * 3), "not exact"),
        (lambda n: math.ceil(n / 1.3), "not exact"),
        (lambda n: math.ceil(n**0.5), "not exact"),
        (lambda n: math.floor(math.sqrt(n)), "not exact"),
        (lambda n: 100 // n, "divides by"),
        (lambda n: int(n**0.5), "not exact"),
    ],
    ids=["0.3", "thirds", "decimal", "root", "sqrt", "divisor", "int of a root"],
)
def test_roundings_that_could_be_wrong_are_refused(
    number: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises(ExportError, match=f"(?s)test_rounding|harness.*{words}"):
        export(lambda x: x * number(x.shape[1]), torch.rand(2, 7), dynamic_axes={"x0": {1: "S"}})
