"""Poolings and interpolations over dynamic time and space."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from dynamic.rows import Row, floats, integers, row

TIME = floats("B", 4, "T")
PLANE = floats("B", 3, "H", "W")


def resized(**how: Any) -> Any:
    """A function that interpolates its input."""
    return lambda x: F.interpolate(x, **how)


def _pyramid(x: torch.Tensor) -> torch.Tensor:
    small = F.max_pool2d(x, 2)
    large = F.interpolate(small, scale_factor=2)
    return x[:, :, : large.shape[2], : large.shape[3]] + large


ROWS = [
    row("max by 2", lambda x: F.max_pool1d(x, 2), TIME),
    row("max by 3, stride 2, padded", lambda x: F.max_pool1d(x, 3, 2, 1), TIME),
    row("max, dilated", lambda x: F.max_pool1d(x, 2, 1, dilation=3), TIME),
    row("max, ceil_mode", lambda x: F.max_pool1d(x, 2, ceil_mode=True), TIME),
    row("max, ceil_mode and padding", lambda x: F.max_pool1d(x, 3, 2, 1, ceil_mode=True), TIME),
    row(
        "max, ceil_mode, stride 3",
        lambda x: F.max_pool1d(x, 2, 3, ceil_mode=True),
        TIME,
        refused="no formula",
    ),
    row("max with indices", lambda x: F.max_pool1d(x, 2, return_indices=True), TIME),
    row("max of a plane", lambda x: F.max_pool2d(x, 3, 2, 1), PLANE),
    row("max of a plane, ceil_mode", lambda x: F.max_pool2d(x, 2, ceil_mode=True), PLANE),
    row("max of a plane with indices", lambda x: F.max_pool2d(x, 2, return_indices=True), PLANE),
    row("mean by 2", lambda x: F.avg_pool1d(x, 2), TIME),
    row("mean, padded", lambda x: F.avg_pool1d(x, 3, 1, 1), TIME),
    row(
        "mean, padding not counted",
        lambda x: F.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
        TIME,
    ),
    row("mean, ceil_mode", lambda x: F.avg_pool1d(x, 3, 2, 1, ceil_mode=True), TIME),
    row(
        "mean, ceil_mode, padding not counted",
        lambda x: F.avg_pool1d(x, 3, 2, 1, True, False),
        TIME,
    ),
    row("mean of a plane", lambda x: F.avg_pool2d(x, (2, 3), stride=(1, 2)), PLANE),
    row("mean by a divisor", lambda x: F.avg_pool2d(x, 2, divisor_override=3), PLANE),
    row("squares", lambda x: F.lp_pool1d(x.abs(), 2, 3, stride=2), TIME),
    row("over the whole of T", lambda x: F.avg_pool1d(x, x.shape[2]), TIME),
    row("max over the whole of T", lambda x: F.max_pool1d(x, x.shape[2]), TIME),
    row("over the whole plane", lambda x: F.avg_pool2d(x, x.shape[2:]), PLANE),
    row("over half of T", lambda x: F.avg_pool1d(x, x.shape[2] // 2), TIME, refused="(T//2) == 3"),
    row("adaptive mean to 1", lambda x: F.adaptive_avg_pool1d(x, 1), TIME, stops=({"T": 0},)),
    row("adaptive mean of a plane to 1", lambda x: F.adaptive_avg_pool2d(x, 1), PLANE),
    row("adaptive mean to 3", lambda x: F.adaptive_avg_pool1d(x, 3), TIME),
    row("adaptive mean to T", lambda x: F.adaptive_avg_pool1d(x, x.shape[2]), TIME),
    row(
        "adaptive mean, T of a plane",
        lambda x: F.adaptive_avg_pool2d(x, (x.shape[2], 1)),
        floats("B", 3, "T", 8),
    ),
    row(
        "adaptive mean, even plane",
        lambda x: F.adaptive_avg_pool2d(x, (x.shape[2], 4)),
        floats("B", 3, "T", 8),
    ),
    row(
        "adaptive mean of 2*T to T",
        lambda x: F.adaptive_avg_pool1d(torch.cat([x, -x * x], 2), x.shape[2]),
        TIME,
    ),
    row("adaptive mean of a plane to 2 by 3", lambda x: F.adaptive_avg_pool2d(x, (2, 3)), PLANE),
    row("adaptive max to 1", lambda x: F.adaptive_max_pool1d(x, 1), TIME),
    row("adaptive max to 1 with index", lambda x: F.adaptive_max_pool2d(x, 1, True), PLANE),
    row("adaptive max to 2", lambda x: F.adaptive_max_pool1d(x, 2), TIME),
    row("nearest by 2", resized(scale_factor=2), TIME),
    row("nearest by 3 and 2", resized(scale_factor=(3, 2)), PLANE),
    row("nearest by 1.5", resized(scale_factor=1.5), TIME),
    row("nearest by a half", resized(scale_factor=0.5), TIME),
    row("nearest to 12", resized(size=12), TIME),
    row("nearest to 2*T", lambda x: F.interpolate(x, size=x.shape[2] * 2), TIME),
    row(
        "nearest to another's T",
        lambda x, y: F.interpolate(x, size=y.shape[2]),
        TIME,
        floats("B", 4, "S"),
    ),
    row("nearest-exact by 2", resized(scale_factor=2, mode="nearest-exact"), TIME),
    row(
        "nearest of integers",
        lambda n: F.interpolate(n.float(), scale_factor=2),
        integers("B", 2, "T"),
    ),
    row("linear by 2", resized(scale_factor=2, mode="linear"), TIME),
    row("linear by 2, corners", resized(scale_factor=2, mode="linear", align_corners=True), TIME),
    row("linear to 12", resized(size=12, mode="linear"), TIME),
    row("linear by a half", resized(scale_factor=0.5, mode="linear"), TIME),
    row("bilinear by 2", resized(scale_factor=2, mode="bilinear"), PLANE),
    row(
        "bilinear to 2*H, 2*W",
        lambda x: F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2), mode="bilinear"),
        PLANE,
    ),
    row(
        "bilinear by 2, corners",
        resized(scale_factor=2, mode="bilinear", align_corners=True),
        PLANE,
    ),
    row(
        "bicubic by 2", resized(scale_factor=2, mode="bicubic"), PLANE, refused="not a fixed number"
    ),
    row("area by a half", resized(scale_factor=0.5, mode="area"), TIME, refused="TruncToInt"),
    row(
        "B dynamic, plane fixed, bilinear",
        resized(size=(7, 5), mode="bilinear"),
        floats("B", 3, 4, 6),
    ),
    row(
        "B dynamic, plane fixed, bicubic",
        resized(scale_factor=2, mode="bicubic"),
        floats("B", 3, 4, 6),
    ),
    row("B dynamic, nearest by 1.5", resized(scale_factor=1.5), floats("B", 3, 4, 6)),
    row("a pyramid", _pyramid, PLANE),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_pools(entry: Row) -> None:
    entry.check()
