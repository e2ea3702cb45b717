"""A speech model whose batch size and number of frames are free.

Exports convolutions in front of torchaudio's DeepSpeech, an RNN, with two symbols, shows
what tract knows about the output's length, and compares with PyTorch at other sizes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
import torchaudio
from rich.console import Console
from rich.markup import escape

from torchtract import TractNNEF, errors, export_model_to_nnef, load

console = Console(highlight=False)


class CustomDeepSpeech(torch.nn.Module):
    """Mel bands to letters, by convolutions and a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = torch.nn.Sequential(
            torch.nn.BatchNorm1d(64),
            torch.nn.Conv1d(64, 128, kernel_size=3, stride=2),
            torch.nn.ReLU(),
            torch.nn.Conv1d(128, 128, kernel_size=5),
            torch.nn.ReLU(),
        )
        self.maxpool = torch.nn.MaxPool1d(2)
        self.deepspeech = torchaudio.models.DeepSpeech(128, n_hidden=256)

    def forward(self, melbank: torch.Tensor) -> torch.Tensor:
        """[batch, frames, 64] to [batch, about a quarter of the frames, 40], log-probabilities."""
        bands_first = self.maxpool(self.pre(melbank.transpose(1, 2)))
        letters: torch.Tensor = self.deepspeech(bands_first.transpose(1, 2).unsqueeze(1))
        return letters


def seeded_model() -> CustomDeepSpeech:
    """Random weights, and statistics for the batch normalisation, which starts as an identity."""
    torch.manual_seed(0)
    model = CustomDeepSpeech().eval()
    norm = model.pre[0]
    assert isinstance(norm, torch.nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    return model


def export(model: torch.nn.Module, folder: Path) -> Path:
    """A file for any batch size B and any number of frames S."""
    path = folder / "custom_deepspeech.nnef.tgz"
    with console.status("capturing, lowering, writing, checking at several sizes ..."):
        export_model_to_nnef(
            model=model,
            args=torch.rand(7, 100, 64),
            file_path_export=path,
            inference_target=TractNNEF(
                dynamic_axes={"melbank": {0: "B", 1: "S"}}, version="0.21.13", check_io=True
            ),
            input_names=["melbank"],
            output_names=["output"],
            debug_bundle_path=folder / "debug.tgz",
            custom_extensions=["tract_assert S >= 1"],
        )
    return path


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def main() -> None:
    model = seeded_model()
    with tempfile.TemporaryDirectory() as temporary:
        step("1. Export at 7 x 100 frames, with axis 0 as the symbol B and axis 1 as S")
        path = export(model, Path(temporary))
        console.print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, equal to PyTorch")
        speech = load(path)

    step("2. Two strides of 2 and three windows: how long the output is, as tract knows it")
    console.print(*speech.inputs, *speech.outputs, sep="\n", markup=False)

    step("3. One runnable at other sizes, against PyTorch")
    runnable = speech.compile()
    for batch, frames in [(1, 13), (2, 16), (3, 1000)]:
        melbank = torch.rand(batch, frames, 64)
        with torch.no_grad():
            expected = model(melbank).numpy()
        actual = runnable(melbank)
        console.print(
            f"B={batch}, S={frames}: output {list(actual.shape)}, values from "
            f"{expected.min():.2f} to {expected.max():.2f}, all within "
            f"{np.abs(actual - expected).max():.0e}"
        )

    step("4. What the file asserts about S holds for every run")
    try:
        runnable(torch.rand(1, 0, 64))
    except errors.SymbolError as refusal:
        console.print(str(refusal), style="yellow", markup=False)


if __name__ == "__main__":
    main()
