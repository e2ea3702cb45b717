"""Normalisations beside and over dynamic axes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dynamic.rows import Row, floats, row

X = floats("B", "S", 6)
TIME = floats("B", 4, "T")
PLANE = floats("B", 4, "H", "W")


class GlobalResponseNorm(nn.Module):
    """ConvNeXt's: each channel over the mean of all channels' norms."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm: torch.Tensor = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        return x * norm / (norm.mean(1, keepdim=True) + 1e-6)


def affine(norm: nn.Module) -> nn.Module:
    """The layer with weights and statistics other than ones and zeros."""
    generator = torch.Generator().manual_seed(0)
    for tensor in (*norm.parameters(), *norm.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5, generator=generator)
    return norm


ROWS = [
    row("layer", affine(nn.LayerNorm(6)), X),
    row("layer of two axes", affine(nn.LayerNorm((4, 6))), floats("B", "S", 4, 6)),
    row("layer over S", lambda x: F.layer_norm(x, x.shape[1:]), X, stops=({"S": 0},)),
    row("layer without affine", nn.LayerNorm(6, elementwise_affine=False), X),
    row("batch, of features", affine(nn.BatchNorm1d(6)), floats("B", 6)),
    row("batch, of time", affine(nn.BatchNorm1d(4)), TIME),
    row("batch, of a plane", affine(nn.BatchNorm2d(4)), PLANE),
    row("batch, own statistics", affine(nn.BatchNorm1d(4, track_running_stats=False)), TIME),
    row("instance, of time", affine(nn.InstanceNorm1d(4, affine=True)), TIME, stops=({"T": 0},)),
    row("instance, of a plane", nn.InstanceNorm2d(4), PLANE, stops=({"H": 0},)),
    row("instance, recorded", affine(nn.InstanceNorm1d(4, track_running_stats=True)), TIME),
    row("group, of time", affine(nn.GroupNorm(2, 4)), TIME, stops=({"T": 0},)),
    row("group, of a plane", affine(nn.GroupNorm(2, 4)), PLANE, stops=({"H": 0},)),
    row("one group", affine(nn.GroupNorm(1, 4)), TIME, stops=({"T": 0},)),
    row("a group for each channel", affine(nn.GroupNorm(4, 4)), PLANE, stops=({"H": 0},)),
    row("rms", affine(nn.RMSNorm(6)), X),
    row("rms by hand", lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6), X),
    row("rms over S", lambda x: x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6), X),
    row("local response", nn.LocalResponseNorm(3), PLANE),
    row("global response", GlobalResponseNorm(), PLANE),
    row("of length 1 over S", lambda x: F.normalize(x, dim=1), X),
    row("to mean 0 over time", lambda x: x - x.mean(-1, keepdim=True), TIME, stops=({"T": 0},)),
    row("to the largest", lambda x: x / x.abs().amax((1, 2), keepdim=True), X),
    row(
        "between 0 and 1",
        lambda x: (x - x.amin(1, True)) / (x.amax(1, True) - x.amin(1, True) + 1),
        X,
    ),
    row(
        "cepstral",
        lambda x: (x - x.mean(1, True)) / x.std(1, unbiased=False, keepdim=True).clamp(1e-3),
        X,
    ),
    row(
        "weight_norm",
        torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, padding=1)),
        TIME,
    ),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_norms(entry: Row) -> None:
    entry.check()
