"""Shapes made of dynamic sizes: views, windows, repeats, other orders."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dynamic.rows import Row, floats, row

X = floats("B", "S", 6)
EVEN = floats("B", "T=2*S", 6)


def _windows(x: torch.Tensor, size: int) -> torch.Tensor:
    missing = -x.shape[1] % size
    return F.pad(x, (0, 0, 0, missing)).reshape(x.shape[0], -1, size, x.shape[2])


def _space_to_depth(x: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = x.shape
    x = x[:, :, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels * 4, height // 2, width // 2)


def _patches(x: torch.Tensor, size: int) -> torch.Tensor:
    return x.unfold(2, size, size).unfold(3, size, size).flatten(4).permute(0, 2, 3, 1, 4)


ROWS = [
    row("B and S merged", lambda x: x.reshape(-1, 6), X),
    row("S and features merged", lambda x: x.flatten(1), X),
    row("heads", lambda x: x.view(x.shape[0], x.shape[1], 3, 2).transpose(1, 2), X),
    row("heads and back", lambda x: x.view(*x.shape[:2], 3, 2).transpose(1, 2).flatten(2), X),
    row("unflatten of features", lambda x: x.unflatten(-1, (-1, 2)), X),
    row("transposed and merged", lambda x: x.transpose(0, 1).reshape(-1, 6), X),
    row("flattened wholly", lambda x: x.reshape(-1), X),
    row("S*6 cut into threes", lambda x: x.reshape(x.shape[0], -1, 3), X),
    row("B becomes B*S/S", lambda x: x.flatten(0, 1).view(-1, x.shape[1], 6), X),
    row("as another", lambda x, y: x.flatten(1).view_as(y), X, floats("B", "S", 3, 2)),
    row("unflatten of S", lambda x: x.unflatten(1, (x.shape[1], 1)), X),
    row(
        "S in pairs, cropped", lambda x: x[:, : x.shape[1] // 2 * 2].reshape(x.shape[0], -1, 12), X
    ),
    row(
        "frames stacked by 3",
        lambda x: x[:, : x.shape[1] // 3 * 3].reshape(x.shape[0], x.shape[1] // 3, 18),
        X,
    ),
    row("padded to whole windows", lambda x: _windows(x, 4), X),
    row("windows and back", lambda x: _windows(x, 4).flatten(1, 2)[:, : x.shape[1]], X),
    row("squeeze of an axis of 1", lambda x: x.squeeze(2), floats("B", "S", 1)),
    row("squeeze of S", lambda x: x.squeeze(1), X, refused="another rank"),
    row("unsqueeze", lambda x: x[:, None, :, None], X),
    row("permute", lambda x: x.permute(2, 1, 0), X),
    row("movedim", lambda x: x.movedim(1, -1), X),
    row("expand to S", lambda x: x[:, :1].expand(-1, x.shape[1], -1), X, stops=({"S": 0},)),
    row("expand_as", lambda x, y: x.expand_as(y), floats("S", 1), X),
    row("repeat along S", lambda x: x.repeat(1, 2, 1), X),
    row("repeated S times", lambda x: x[:, :1].repeat(1, x.shape[1], 1), X, stops=({"S": 0},)),
    row("repeat of B and a new axis", lambda x: x.repeat(3, 2, 1, 1), X),
    row("tile", lambda x: x.tile(2), X),
    row("tile by S", lambda x: x[0, 0].tile(x.shape[1]), X),
    row("repeat_interleave of S", lambda x: x.repeat_interleave(3, dim=1), X),
    row("repeat_interleave by B", lambda x: x[0].repeat_interleave(x.shape[0], 0), X),
    row("flip of S", lambda x: x.flip(1), X),
    row("flip of both", lambda x: x.flip(0, 1), X),
    row("fliplr", torch.fliplr, X),
    row("rot90", lambda x: torch.rot90(x, 1, (0, 1)), X),
    row("roll by 1", lambda x: x.roll(1, 1), X),
    row("roll by -1 over B", lambda x: x.roll(-1, 0), X),
    row("roll by 2", lambda x: x.roll(2, 1), X),
    row("roll by -7", lambda x: x.roll(-7, 1), X),
    row("roll by half of S", lambda x: x.roll(x.shape[1] // 2, 1), X),
    row("roll of both", lambda x: x.roll((1, 3), (0, 1)), X),
    row("roll of all elements", lambda x: x.roll(4), X),
    row("windows by unfold", lambda x: x.unfold(1, 3, 1), X),
    row("windows with a step", lambda x: x.unfold(1, 4, 3), floats("B", "T", 6)),
    row("windows of windows", lambda x: x.unfold(1, 2, 2).unfold(0, 1, 1), X),
    row("F.unfold", lambda x: F.unfold(x, (3, 2), padding=1), floats("B", 4, "H", "W")),
    row(
        "F.unfold with stride",
        lambda x: F.unfold(x, 2, stride=2, dilation=2),
        floats("B", 4, "H", "W"),
    ),
    row(
        "F.fold to 2*S",
        lambda x: F.fold(x, (1, 2 * x.shape[2]), (1, 2), stride=(1, 2)),
        floats("B", 6, "S"),
    ),
    row("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), floats("B", 8, "H", "W")),
    row(
        "pixel_unshuffle",
        lambda x: F.pixel_unshuffle(x, 2),
        floats("B", 2, "E", 4),
        assertions=("B >= 1", "E >= 1"),
    ),
    row("channel_shuffle", lambda x: F.channel_shuffle(x, 3), floats("B", 6, "H", "W")),
    row(
        "T taken as 2*S",
        lambda x, y: y.reshape(*x.shape[:2], 12) + 1,
        X,
        EVEN,
        refused="to be 2*S;",
    ),
    row("diagonal of [S, S]", lambda x: (x @ x.mT).diagonal(dim1=1, dim2=2), X),
    row("diagonal of [6, S]", lambda x: x.mT.diagonal(dim1=1, dim2=2), X),
    row("diag of a vector", torch.diag, floats("S")),
    row("diag_embed", torch.diag_embed, floats("B", "S")),
    row("block of zeros and S", lambda x: F.pad(x, (0, 0, 2, 1)), X),
    row("pad to S+S", lambda x: F.pad(x, (0, 0, 0, x.shape[1])), X),
    row("crop by a negative pad", lambda x: F.pad(x, (0, 0, -1, 2)), X),
    row("reflect", lambda x: F.pad(x, (2, 1), mode="reflect"), floats("B", 3, "S")),
    row("replicate", lambda x: F.pad(x, (2, 1), mode="replicate"), floats("B", 3, "S")),
    row("circular", lambda x: F.pad(x, (2, 1), mode="circular"), floats("B", 3, "S")),
    row("meshgrid", lambda x, y: torch.meshgrid(x, y, indexing="ij"), floats("S"), floats("T")),
    row("cartesian product", torch.cartesian_prod, floats("S"), floats("T")),
    row("combinations", torch.combinations, floats("S"), refused="unbacked"),
    row("vander", lambda x: torch.vander(x, 4), floats("S"), refused="needs the size to be 5"),
    row("space to depth", _space_to_depth, floats("B", 2, "H", "W")),
    row("patches", lambda x: _patches(x, 2), floats("B", 3, "H", "W")),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_shapes(entry: Row) -> None:
    entry.check()
