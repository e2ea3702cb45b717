"""Distances between rows, few and many, of any number."""

from __future__ import annotations

import math

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("rows", [4, 40])
def test_cdist(p: float, rows: int) -> None:
    axes = {"x0": {0: "B", 1: "S"}, "x1": {0: "B"}}
    x, y = uniform(2, 5, 3), uniform(2, rows, 3, seed=1)
    sizes = [{"B": 1, "S": 1}, {"B": 3, "S": 30}]
    export_and_compare(lambda x, y: torch.cdist(x, y, p), x, y, dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"])
def test_cdist_broadcasts(mode: str) -> None:
    x, y = uniform(3, 1, 5, 3), uniform(2, 4, 3, seed=1)
    export_and_compare(lambda x, y: torch.cdist(x, y, compute_mode=mode), x, y)


def test_rows_without_elements() -> None:
    export_and_compare(torch.cdist, torch.empty(3, 0), torch.empty(4, 0))
    export_and_compare(torch.cdist, torch.empty(0, 2), uniform(4, 2))


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_pdist(p: float) -> None:
    function = lambda x: torch.nn.functional.pdist(x, p)  # noqa: E731
    export_and_compare(
        function, uniform(6, 4), dynamic_axes={"x0": {1: "S"}}, sizes=[{"S": 1}, {"S": 9}]
    )
    export_and_compare(function, uniform(1, 4))
    with pytest.raises(UnsupportedOpError, match="number of rows"):
        export(function, uniform(6, 4), dynamic_axes={"x0": {0: "B"}})


def test_distances_of_pairs() -> None:
    def distances(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            torch.pairwise_distance(x, y),
            torch.cosine_similarity(x, y, dim=-1),
            torch.nn.functional.triplet_margin_loss(x, y, y.flip(0)),
            torch.nn.functional.cosine_embedding_loss(x, y, x.new_ones(x.shape[0])),
        )

    axes, sizes = {"x0": {0: "B"}, "x1": {0: "B"}}, [{"B": 1}, {"B": 7}]
    export_and_compare(
        distances, uniform(3, 4), uniform(3, 4, seed=1), dynamic_axes=axes, sizes=sizes
    )
