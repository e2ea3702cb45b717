"""Different elements, their numbers and repeats are PyTorch's at every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform
from torchtract.errors import UnsupportedOpError

Function = Callable[[torch.Tensor], Any]

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "S"}},
    "sizes": [{"S": 1}, {"S": 2}, {"S": 19}],
}
ALL = {"return_inverse": True, "return_counts": True}

#: Functions of a tensor [S, 3] of numbers from 0 to 3.
DIFFERENT: dict[str, Function] = {
    "elements": lambda x: torch.unique(x, **ALL),
    "elements alone": torch.unique,
    "elements unsorted": lambda x: torch.unique(x, sorted=False, return_counts=True),
    "rows": lambda x: torch.unique(x, dim=0, **ALL),
    "rows alone": lambda x: torch.unique(x, dim=0),
    "runs": lambda x: torch.unique_consecutive(x, **ALL),
    "runs of rows": lambda x: torch.unique_consecutive(x, dim=0, **ALL),
    "runs of rows and counts": lambda x: x.unique_consecutive(dim=-2, return_counts=True),
    "runs of columns": lambda x: torch.unique_consecutive(x[:2], dim=-1),
    "runs alone": torch.unique_consecutive,
}


@pytest.mark.parametrize("name", DIFFERENT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bool])
def test_different(name: str, dtype: torch.dtype) -> None:
    x = integers(8, 3, low=0, high=3).clamp(max=2).sort(0).values.to(dtype)
    export_and_compare(DIFFERENT[name], x, **DYNAMIC)


@pytest.mark.parametrize("name", ["elements", "runs"])
def test_nan_and_zeros(name: str) -> None:
    x = torch.tensor([1.0, torch.nan, 0.0, torch.nan, -0.0, torch.inf, 1.0, -torch.inf])
    export_and_compare(DIFFERENT[name], x)


@pytest.mark.parametrize("name", ["elements", "runs"])
def test_one_and_none(name: str) -> None:
    export_and_compare(DIFFERENT[name], torch.tensor(3.0))
    export_and_compare(DIFFERENT[name], torch.zeros(0))


def test_columns() -> None:
    x = integers(2, 9, low=0, high=1)
    export_and_compare(lambda x: torch.unique(x, dim=-1, **ALL), x)


def test_long_rows_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="65 elements, and each takes a sort"):
        export_and_compare(lambda x: torch.unique(x, dim=0), uniform(2, 65))


#: Functions of a tensor [S, 3] of numbers from 0 to 3.
COUNTED: dict[str, Function] = {
    "repeats of rows": lambda n: n.repeat_interleave(n[:, 0], 0),
    "repeats of each row": lambda n: n.repeat_interleave(torch.tensor([2]), 0),
    "repeats that are known": lambda n: n.repeat_interleave(torch.tensor([2, 0, 1]), 1),
    "repeats by sizes": lambda n: n.repeat_interleave(torch.arange(n.shape[0]), 0),
    "repeats of positions": lambda n: torch.repeat_interleave(n[:, 1]),
    "bincount": lambda n: torch.bincount(n.flatten()),
    "bincount of many": lambda n: torch.bincount(n.flatten(), minlength=7),
    "bincount of weights": lambda n: torch.bincount(n[:, 0], n[:, 1] * 0.5),
    "bincount of sizes": lambda n: torch.bincount(torch.arange(n.shape[0])),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counted(name: str) -> None:
    export_and_compare(COUNTED[name], integers(8, 3, low=0, high=3), **DYNAMIC)


def test_repeats_to_a_known_size() -> None:
    def function(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(n, 0, output_size=5)

    export_and_compare(function, uniform(4, 2), torch.tensor([0, 2, 3, 0]))
