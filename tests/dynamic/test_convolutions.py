"""Convolutions over dynamic time and space."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dynamic.rows import Row, floats, row

TIME = floats("B", 4, "T")
PLANE = floats("B", 3, "H", "W")


class CausalBlock(nn.Module):
    """A residual block of a temporal convolutional network."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.reach = 2 * dilation
        self.first = nn.Conv1d(4, 8, 3, dilation=dilation)
        self.second = nn.Conv1d(8, 4, 3, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(F.pad(x, (self.reach, 0))).relu()
        z: torch.Tensor = self.second(F.pad(y, (self.reach, 0)))
        return (x + z).relu()


class Trimmed(nn.Module):
    """A convolution padded on both sides, of which the end is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=4, dilation=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)[..., :-4]
        return y + x


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, gated and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv1d(4, 8, 1)
        self.depth = nn.Conv1d(4, 4, 5, padding=2, groups=4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.depth(F.glu(self.expand(x), dim=1)))
        return x + F.silu(y)


class Down(nn.Module):
    """Halved, doubled again, and cropped to where it began."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(4, 6, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.up(self.down(x).relu())
        return x + y[..., : x.shape[-1]]


class ByLength(nn.Module):
    """Whisper's stem: two convolutions, then features last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 6, 3, padding=1)
        self.second = nn.Conv1d(6, 6, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.gelu(self.second(F.gelu(self.first(x))))
        return y.transpose(1, 2) + torch.arange(y.shape[2])[:, None]


class Kernel(nn.Module):
    """A convolution whose kernel is an input."""

    def forward(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x, kernel)


ROWS = [
    row("plain", nn.Conv1d(4, 5, 3), TIME),
    row("padded", nn.Conv1d(4, 5, 3, padding=2), TIME),
    row("stride 2", nn.Conv1d(4, 5, 3, stride=2, padding=1), TIME),
    row("stride 3 without padding", nn.Conv1d(4, 5, 2, stride=3), TIME),
    row("dilated", nn.Conv1d(4, 5, 3, dilation=2, padding=1), TIME),
    row("padding same", nn.Conv1d(4, 5, 4, padding="same", dilation=2), TIME),
    row("padding valid", nn.Conv1d(4, 5, 2, padding="valid"), TIME),
    row("groups", nn.Conv1d(4, 8, 3, groups=2, padding=1), TIME),
    row("depthwise", nn.Conv1d(4, 4, 3, groups=4, bias=False, padding=1), TIME),
    row("reflected padding", nn.Conv1d(4, 5, 3, padding=2, padding_mode="reflect"), TIME),
    row("circular padding", nn.Conv1d(4, 5, 3, padding=1, padding_mode="circular"), TIME),
    row("replicated padding", nn.Conv1d(4, 5, 3, padding=2, padding_mode="replicate"), TIME),
    row("unbatched", nn.Conv1d(4, 5, 3, padding=1), floats(4, "T")),
    row("of a plane", nn.Conv2d(3, 4, 3, padding=1), PLANE),
    row("of a plane, strides", nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), PLANE),
    row("of a plane, same", nn.Conv2d(3, 4, (2, 4), padding="same"), PLANE),
    row(
        "of time beside frequency", nn.Conv2d(1, 4, 3, stride=2, padding=1), floats("B", 1, "T", 8)
    ),
    row("of a volume", nn.Conv3d(2, 3, 2), floats("B", 2, "T", "H", 3)),
    row("transposed", nn.ConvTranspose1d(4, 5, 3), TIME),
    row("transposed, stride 2", nn.ConvTranspose1d(4, 5, 4, stride=2, padding=1), TIME),
    row(
        "transposed, output_padding",
        nn.ConvTranspose1d(4, 5, 3, stride=2, padding=1, output_padding=1),
        TIME,
    ),
    row(
        "transposed, output_padding alone",
        nn.ConvTranspose1d(4, 5, 2, stride=3, output_padding=2),
        TIME,
    ),
    row("transposed, dilated", nn.ConvTranspose1d(4, 5, 3, dilation=2, padding=1), TIME),
    row("transposed, groups", nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2), TIME),
    row("transposed, of a plane", nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1), PLANE),
    row("causal", lambda x: F.conv1d(F.pad(x, (2, 0)), torch.ones(4, 4, 3)), TIME),
    row(
        "two strides",
        nn.Sequential(nn.Conv1d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv1d(4, 4, 3, 2, 1)),
        TIME,
    ),
    row("a causal block", CausalBlock(2), TIME),
    row("a stack of causal blocks", nn.Sequential(*(CausalBlock(2**i) for i in range(3))), TIME),
    row("padded, then trimmed", Trimmed(), TIME),
    row("separable and gated", Separable(), TIME),
    row("down, up and cropped", Down(), TIME),
    row("a stem, positions added", ByLength(), TIME),
    row("a kernel that is an input", Kernel(), TIME, floats(5, 4, 3)),
    row("a kernel of dynamic length", Kernel(), TIME, floats(5, 4, "S"), refused="weight"),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_convolutions(entry: Row) -> None:
    entry.check()
