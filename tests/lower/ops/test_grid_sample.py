"""Samples of a grid are PyTorch's, inside an image and beyond its edges."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from harness import export_and_compare
from lower.ops.inputs import uniform

MODES = ["bilinear", "nearest", "bicubic"]
PADDINGS = ["zeros", "border", "reflection"]


def sampled(mode: str, padding: str, align_corners: bool) -> Any:
    def sample(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return F.grid_sample(x, grid, mode, padding, align_corners)

    return sample


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("mode", "padding"), list(product(MODES, PADDINGS)))
def test_images(mode: str, padding: str, align_corners: bool) -> None:
    x, grid = uniform(2, 3, 5, 4), uniform(2, 6, 7, 2, low=-2.5, high=2.5)
    export_and_compare(
        sampled(mode, padding, align_corners),
        *(x, grid),
        dynamic_axes={"x0": {0: "B", 2: "H", 3: "W"}, "x1": {0: "B", 1: "S"}},
        sizes=[{"B": 1, "H": 2, "W": 1, "S": 1}, {"H": 9}],
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("mode", "padding"), list(product(MODES[:2], PADDINGS)))
def test_volumes(mode: str, padding: str, align_corners: bool) -> None:
    x, grid = uniform(2, 3, 5, 4, 3), uniform(2, 3, 4, 5, 3, low=-2.5, high=2.5)
    axes = {"x0": {2: "D"}, "x1": {1: "S"}}
    sizes = [{"D": 1, "S": 1}]
    export_and_compare(
        sampled(mode, padding, align_corners), x, grid, dynamic_axes=axes, sizes=sizes
    )


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_is_rounded_where_pytorch_rounds(mode: str) -> None:
    x, grid = uniform(1, 2, 9, 9).half(), uniform(1, 6, 7, 2, low=-1.2, high=1.2).half()
    for padding in PADDINGS:
        export_and_compare(sampled(mode, padding, False), x, grid, rtol=1e-3, atol=1e-3)


def test_halfway_in_float64() -> None:
    x = uniform(1, 1, 4, 4).double()
    places = torch.tensor([0.5, 0.5 + 1e-12, -0.5, 0.0, 1.0, -1.0], dtype=torch.float64)
    grid = torch.stack([places, places.flip(0)], -1).view(1, 2, 3, 2)
    for mode, align_corners in product(MODES, [False, True]):
        export_and_compare(sampled(mode, "border", align_corners), x, grid, rtol=1e-9)


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_places_without_bounds(padding: str) -> None:
    grid = torch.tensor([[1e9, 0], [-1e9, 0.5], [0, 3e38]]).view(1, 3, 1, 2)
    assert math.isfinite(float(grid.sum()))
    export_and_compare(sampled("nearest", padding, False), uniform(1, 2, 3, 3), grid)
