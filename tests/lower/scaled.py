"""A module that can't be traced, its lowering, and a model with several of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torchtract.lower import Builder, Value, lowers_module

__all__ = ["Model", "Scaled", "ScaledTwice", "lower_scaled"]


class Scaled(nn.Module):
    """A module whose forward can't be traced, so that only its lowering can have been used."""

    offset: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))
        self.register_buffer("offset", torch.randn(size))
        self.factor = 3

    def forward(self, x: Tensor, *, power: int = 1) -> Tensor:
        scaled = torch.cummax(x * self.weight, -1).values.cummin(-1).values
        entropy: Tensor = self.factor**power * torch.special.entr(scaled.sigmoid())
        return entropy + self.offset


class ScaledTwice(Scaled):
    pass


def lower_scaled(factor: float = 1.0) -> list[nn.Module]:
    met: list[nn.Module] = []

    @lowers_module(Scaled)
    def scaled(b: Builder, module: Scaled, x: Value, *, power: int = 1) -> Value:
        met.append(module)
        scaled = b.binary("mul", x, b.constant(module.weight))
        steps = [b.slice(scaled, 2, i, i + 1) for i in range(4)]
        for i in range(1, 4):
            steps[i] = b.binary("max", steps[i - 1], steps[i])
        s = b.emit("sigmoid", steps[0])  # what rises never falls: the least is the first
        entropy = b.emit("neg", b.binary("mul", s, b.emit("log", s)))
        times = b.scalar(factor * module.factor**power, x.dtype)
        return b.binary("add", b.binary("mul", entropy, times), b.constant(module.offset))

    return met


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Scaled(4), nn.Tanh(), ScaledTwice(4))
        self.shared = self.blocks[0]

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.shared(self.blocks(x), power=2)
        second: Tensor = self.blocks[2](x)
        return first - second
