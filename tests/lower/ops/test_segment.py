"""Reductions part by part are PyTorch's, of empty parts and of NaN too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from harness import export_and_compare
from lower.ops.inputs import integers, uniform


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("initial", [None, 2.0])
def test_segment_reduce(reduce: str, initial: float | None) -> None:
    def function(x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, ...]:
        keywords: dict[str, Any] = {"initial": initial, "unsafe": True}
        by_lengths = torch.segment_reduce(x, reduce, lengths=n, **keywords)
        offsets = F.pad(n.cumsum(0), (1, 0))
        by_offsets = torch.segment_reduce(x, reduce, offsets=offsets, **keywords)
        rows = n.unsqueeze(0).expand(2, -1)
        of_columns = x.T[:2].contiguous()
        columns = torch.segment_reduce(of_columns, reduce, lengths=rows, axis=1, **keywords)
        return by_lengths, by_offsets, columns

    x = uniform(8, 3)
    x[2, 0] = torch.nan
    axes, sizes = {"x1": {0: "T"}}, [{"T": 4}, {"T": 1}]
    export_and_compare(function, x, torch.tensor([2, 0, 3, 0, 1]), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("include_last_offset", [False, True])
def test_embedding_bag(mode: str, padding_idx: int | None, include_last_offset: bool) -> None:
    def function(x: torch.Tensor, i: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        keywords: dict[str, Any] = {"mode": mode, "padding_idx": padding_idx}
        return F.embedding_bag(i, x, offsets, include_last_offset=include_last_offset, **keywords)

    places = torch.tensor([0, 2, 2, 5, 2, 4, 2])
    offsets = torch.tensor([0, 1, 3, 3, 7])
    export_and_compare(function, uniform(6, 3), places, offsets)


def test_weighted_bags() -> None:
    def function(x: torch.Tensor, i: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.embedding_bag(i, x, mode="sum", per_sample_weights=w)

    export_and_compare(function, uniform(6, 3), integers(4, 5, low=0, high=5), uniform(4, 5))


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_of_half_precision(mode: str) -> None:
    def function(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        return F.embedding_bag(i, x, mode=mode)

    table = uniform(40, 3, low=-9.0, high=9.0).half()
    places = integers(4, 60, low=0, high=39)
    export_and_compare(function, table, places, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_all_that_embedding_bag_gives(mode: int, padding_idx: int | None) -> None:
    def function(x: torch.Tensor, i: torch.Tensor, offsets: torch.Tensor) -> Any:
        return torch.embedding_bag(x, i, offsets, False, mode, False, None, False, padding_idx)

    places = torch.tensor([0, 2, 2, 5, 1, 4, 2])
    export_and_compare(function, uniform(6, 3), places, torch.tensor([0, 2, 2, 6]))


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_largest_of_bags_with_nan(padding_idx: int | None) -> None:
    def function(x: torch.Tensor, i: torch.Tensor) -> Any:
        offsets = torch.tensor([0, 2, 3, 3, 6])
        return torch.embedding_bag(x, i, offsets, False, 2, False, None, False, padding_idx)

    x = uniform(6, 3)
    x[2, 1] = x[4] = torch.nan
    x[1, 0] = -torch.inf
    export_and_compare(function, x, torch.tensor([0, 2, 1, 4, 5, 3, 1, 2, 4, 1]))
