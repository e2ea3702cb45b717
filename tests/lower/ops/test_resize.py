"""Upsampling and pixel shuffling give PyTorch's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import export, export_and_compare
from lower.ops.inputs import HALF, integers, uniform
from torchtract.errors import UnsupportedOpError

SPATIAL = {1: (7,), 2: (5, 7), 3: (3, 4, 5)}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
TARGETS: dict[str, dict[str, Any]] = {
    "twice": {"scale_factor": 2},
    "by a fraction": {"scale_factor": 1.7},
    "smaller": {"scale_factor": 0.6},
    "to a size": {"size": 9},
    "to its own size": {"scale_factor": 1},
}
BATCH: dict[str, Any] = {"dynamic_axes": {"input": {0: "B"}}, "sizes": [{"B": 1}, {"B": 4}]}


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("spatial", SPATIAL)
def test_upsample_by_nearest(spatial: int, target: str, mode: str) -> None:
    module = nn.Upsample(mode=mode, **TARGETS[target])
    export_and_compare(module, uniform(3, 2, *SPATIAL[spatial]), rtol=0, atol=0, **BATCH)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("spatial", SPATIAL)
def test_upsample_by_interpolation(spatial: int, target: str, align_corners: bool) -> None:
    module = nn.Upsample(mode=LINEAR[spatial], align_corners=align_corners, **TARGETS[target])
    export_and_compare(module, uniform(3, 2, *SPATIAL[spatial]), **BATCH)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("target", TARGETS)
def test_upsample_by_cubic_interpolation(target: str, align_corners: bool) -> None:
    module = nn.Upsample(mode="bicubic", align_corners=align_corners, **TARGETS[target])
    export_and_compare(module, uniform(3, 2, 5, 7), **BATCH)


def test_upsample_with_a_scale_for_each_axis() -> None:
    def upsample(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=(1.5, 2.25), mode="bilinear")

    export_and_compare(upsample, uniform(3, 2, 5, 7))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_upsample_of_symbolic_sizes(mode: str) -> None:
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 1, "T": 4}, {"B": 2, "S": 40, "T": 33}]
    module = nn.Upsample(scale_factor=(2, 5), mode=mode)
    export_and_compare(module, uniform(3, 2, 5, 7), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear"])
def test_fractions_of_symbolic_sizes(mode: str) -> None:
    module = nn.Upsample(scale_factor=1.5, mode=mode)
    sizes = [{"S": n} for n in (1, 2, 8, 33)]
    export_and_compare(module, uniform(3, 2, 5, 7), dynamic_axes={"input": {2: "S"}}, sizes=sizes)


def test_cubic_of_symbolic_sizes_is_refused() -> None:
    module = nn.Upsample(scale_factor=2, mode="bicubic")
    with pytest.raises(UnsupportedOpError, match="size 2 of its input"):
        export(module, uniform(3, 2, 5, 7), dynamic_axes={"input": {2: "S"}})


def test_upsample_of_other_types() -> None:
    export_and_compare(nn.Upsample(scale_factor=2), integers(2, 3, 5, low=0, high=99).byte())
    smooth = nn.Upsample(scale_factor=2, mode="bilinear")
    export_and_compare(smooth, uniform(3, 2, 5, 7).half(), **HALF)
    export_and_compare(smooth, uniform(3, 2, 5, 7).double(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 18, 5, 7), (18, 5, 7), (2, 3, 18, 5, 7)], ids=str)
def test_pixel_shuffle(shape: tuple[int, ...]) -> None:
    export_and_compare(nn.PixelShuffle(3), uniform(*shape))


@pytest.mark.parametrize("shape", [(3, 2, 6, 9), (2, 6, 9), (2, 3, 2, 6, 9)], ids=str)
def test_pixel_unshuffle(shape: tuple[int, ...]) -> None:
    export_and_compare(nn.PixelUnshuffle(3), uniform(*shape))


def test_pixel_shuffle_of_symbolic_sizes() -> None:
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 1, "T": 4}, {"B": 2, "S": 8, "T": 3}]
    export_and_compare(nn.PixelShuffle(2), uniform(3, 8, 5, 7), dynamic_axes=axes, sizes=sizes)


def test_pixel_unshuffle_of_symbolic_sizes() -> None:
    def unshuffle(x: torch.Tensor) -> torch.Tensor:
        return F.pixel_unshuffle(torch.cat([x, x + 1], dim=2), 2)

    axes = {"x0": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 2, "S": 8}]
    export_and_compare(unshuffle, uniform(3, 2, 5, 4), dynamic_axes=axes, sizes=sizes)


def test_channel_shuffle() -> None:
    axes = {"input": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 2, "S": 8}]
    export_and_compare(nn.ChannelShuffle(2), uniform(3, 6, 5), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_antialiased(mode: str, dtype: torch.dtype) -> None:
    x = uniform(2, 3, 11, 7).to(dtype)
    calls = ({"size": (5, 9)}, {"scale_factor": 0.4}, {"scale_factor": (1.7, 0.6)})
    for align_corners in (False, True):
        arguments = {"mode": mode, "antialias": True, "align_corners": align_corners}
        export_and_compare(
            lambda x, a=arguments: tuple(F.interpolate(x, **call, **a) for call in calls),
            x,
            dynamic_axes={"x0": {0: "B"}},
            sizes=[{"B": 1}],
        )
