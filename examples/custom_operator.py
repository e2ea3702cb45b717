"""Operators, lowerings and modules of your own.

Exports a model with an operator that torchtract has never heard of, one of PyTorch's operators
written in another way, and a module that is lowered as a whole. All are checked against PyTorch.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor, nn

from torchtract import TractNNEF, errors, export_model_to_nnef, load
from torchtract.lower import Builder, Value, lowers, lowers_module, scoped_lowerings

console = Console(highlight=False)
aten = torch.ops.aten


# 1. An operator, what it computes, what shape it gives, and what it is in NNEF.


@torch.library.custom_op("my_audio::mu_law", mutates_args=())
def mu_law(x: Tensor, mu: int = 255) -> Tensor:
    """Amplitudes from -1 to 1 on a logarithmic scale."""
    return x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)


@mu_law.register_fake
def _(x: Tensor, mu: int = 255) -> Tensor:  # noqa: ARG001  (a shape depends on x alone)
    return torch.empty_like(x)


@lowers(mu_law)
def lower_mu_law(b: Builder, x: Value, mu: int) -> Value:
    steps = b.binary("mul", b.emit("abs", x), b.scalar(mu, x.dtype))
    logarithm = b.emit("log", b.binary("add", steps, b.scalar(1, x.dtype)))
    share = b.binary("div", logarithm, b.scalar(math.log1p(mu), x.dtype))
    return b.binary("mul", b.emit("sign", x), share)


# 2. One of PyTorch's operators: NNEF text of your own, in place of the built-in lowering.

SILU = """(x: tensor<scalar>) -> (y: tensor<scalar>)
{
  y = x / (1.0 + exp(neg(x)));
}"""


def lower_silu(b: Builder, x: Value) -> Value:
    return b.emit(b.fragment("silu_by_hand", SILU), x)


# 3. A module as a whole: its code is not traced.


class Gain(nn.Module):
    """[B, S, bands], each band louder or quieter."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.decibels = nn.Parameter(torch.linspace(-6, 6, bands))

    def forward(self, x: Tensor, times: float = 1.0) -> Tensor:
        """`times` as much of the gain, in decibels."""
        return x * torch.pow(10.0, times * self.decibels / 20)


@lowers_module(Gain)
def lower_gain(b: Builder, module: Gain, x: Value, times: float) -> Value:
    factors = torch.pow(10.0, times * module.decibels.detach() / 20)
    return b.binary("mul", x, b.constant(factors))


def lower_gain_wrongly(b: Builder, module: Gain, x: Value, times: float) -> Value:
    factors = torch.pow(10.0, times * module.decibels.detach() / 10)  # as of power, not amplitude
    return b.binary("mul", x, b.constant(factors))


class Listener(nn.Module):
    """Loudness, a gain, a dense layer with an activation, and another gain."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = Gain(16)
        self.dense = nn.Sequential(nn.Linear(16, 16), nn.SiLU(), Gain(16))

    def forward(self, frames: Tensor) -> Tensor:
        """[batch, frames, 16] to the same."""
        hidden: Tensor = self.dense(self.gain(mu_law(frames.tanh()), times=0.5))
        return hidden


def export(model: nn.Module, folder: Path) -> Path:
    path = folder / "listener.nnef.tgz"
    target = TractNNEF(dynamic_axes={"frames": {0: "B", 1: "S"}})
    return export_model_to_nnef(model, torch.randn(2, 9, 16), path, target)


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def main() -> None:
    torch.manual_seed(0)
    model = Listener().eval()
    frames = torch.randn(3, 50, 16)
    with tempfile.TemporaryDirectory() as temporary, scoped_lowerings():
        step("1. Lowerings of an operator, of a class of modules, and in place of SiLU's")
        lowers(aten.silu.default, replace=True)(lower_silu)
        listener = load(export(model, Path(temporary)))
        with torch.no_grad():
            difference = (torch.from_numpy(listener.compile()(frames)) - model(frames)).abs().max()
        console.print(f"equal to PyTorch; at 3 x 50 frames within {difference:.0e}")

        step("2. A lowering that is wrong is found by the check, with the module it is for")
        lowers_module(Gain, replace=True)(lower_gain_wrongly)
        try:
            export(model, Path(temporary))
        except errors.MismatchError as error:
            console.print(str(error), style="yellow", markup=False)


if __name__ == "__main__":
    main()
