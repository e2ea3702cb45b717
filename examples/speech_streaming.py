"""A speech model that hears a few frames at a time.

The bidirectional RNN in torchaudio's DeepSpeech can't stream: shows how that is refused, and
what comes of it where it is let through. With an RNN that runs forward the same network streams,
equal to PyTorch in every frame.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import torchaudio
from rich.console import Console
from rich.markup import escape

from torchtract import Model, TractNNEF, check_stream, errors, export_model_to_nnef, load

console = Console(highlight=False)


class ForwardDeepSpeech(torch.nn.Module):
    """As torchaudio's DeepSpeech, but for its RNN, which only runs forward."""

    def __init__(self, n_feature: int, n_hidden: int, n_class: int = 40) -> None:
        super().__init__()
        self.fc1 = torch.nn.Linear(n_feature, n_hidden)
        self.fc2 = torch.nn.Linear(n_hidden, n_hidden)
        self.fc3 = torch.nn.Linear(n_hidden, n_hidden)
        self.rnn = torch.nn.RNN(n_hidden, n_hidden, nonlinearity="relu", batch_first=True)
        self.fc4 = torch.nn.Linear(n_hidden, n_hidden)
        self.out = torch.nn.Linear(n_hidden, n_class)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 1, frames, features] to [batch, frames, classes]."""
        x = x.squeeze(1)
        for layer in (self.fc1, self.fc2, self.fc3):
            x = torch.nn.functional.hardtanh(layer(x), 0, 20)
        x, _ = self.rnn(x)
        x = torch.nn.functional.hardtanh(self.fc4(x), 0, 20)
        return torch.nn.functional.log_softmax(self.out(x), dim=2)


class CustomDeepSpeech(torch.nn.Module):
    """Mel bands to letters: convolutions, and what is recurrent behind them."""

    def __init__(self, deepspeech: torch.nn.Module) -> None:
        super().__init__()
        self.pre = torch.nn.Sequential(
            torch.nn.BatchNorm1d(64),
            torch.nn.Conv1d(64, 128, kernel_size=3, stride=2),
            torch.nn.ReLU(),
            torch.nn.Conv1d(128, 128, kernel_size=5),
            torch.nn.ReLU(),
        )
        self.maxpool = torch.nn.MaxPool1d(2)
        self.deepspeech = deepspeech

    def forward(self, melbank: torch.Tensor) -> torch.Tensor:
        """[batch, frames, 64] to [batch, about a quarter of the frames, 40], log-probabilities."""
        bands_first = self.maxpool(self.pre(melbank.transpose(1, 2)))
        letters: torch.Tensor = self.deepspeech(bands_first.transpose(1, 2).unsqueeze(1))
        return letters


def exported(module: torch.nn.Module, path: Path) -> Model:
    """The module as a model for any batch size B and any number of frames S."""
    with console.status("capturing, lowering, writing, checking at several sizes ..."):
        export_model_to_nnef(
            model=module,
            args=torch.rand(7, 100, 64),
            file_path_export=path,
            inference_target=TractNNEF(dynamic_axes={"melbank": {0: "B", 1: "S"}}),
            input_names=["melbank"],
            output_names=["output"],
            custom_extensions=["tract_assert S >= 13"],
        )
    console.print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, equal to PyTorch")
    return load(path)


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def tell(text: object, style: str = "") -> None:
    console.print(str(text), style=style, markup=False)


def let_through(speech: Model, path: Path) -> None:
    """Pulse what is not equal to the batch model, and see what a check says of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.UnequalStreamWarning)
        speech.pulse(S=8, allow_unequal=True).save(path)
    pulsed = load(path)
    tell(pulsed)
    try:
        check_stream(speech, pulsed=pulsed)
    except errors.MismatchError as mismatch:
        tell(mismatch, "yellow")


def listen(speech: Model, module: torch.nn.Module) -> None:
    """Push ten frames at a time, a tenth of a second, as a microphone would."""
    melbank = torch.randn(1, 500, 64)
    stream = speech.pulse(S=8).compile().stream()
    heard = [stream.push(melbank[:, at : at + 10]) for at in range(0, 500, 10)]
    heard.append(stream.flush())
    console.print(f"{stream}, at most {stream.latency} frames behind")
    console.print(f"letters after each chunk: {[part.shape[1] for part in heard]}")
    with torch.no_grad():
        expected = module(melbank).numpy()
    worst = np.abs(np.concatenate(heard, axis=1) - expected).max()
    console.print(
        f"{expected.shape[1]} letters, log-probabilities from {expected.min():.2f} to "
        f"{expected.max():.2f}, all within {worst:.0e} of PyTorch's"
    )


def seeded(deepspeech: torch.nn.Module, letters: torch.nn.Linear) -> CustomDeepSpeech:
    """Random weights, those of the last layer large enough that letters differ in probability."""
    torch.nn.init.normal_(letters.weight, std=0.5)
    return CustomDeepSpeech(deepspeech).eval()


def forward_model() -> CustomDeepSpeech:
    """The model that streams."""
    unidirectional = ForwardDeepSpeech(128, n_hidden=256)
    return seeded(unidirectional, unidirectional.out)


def main() -> None:
    torch.manual_seed(0)
    deepspeech = torchaudio.models.DeepSpeech(128, n_hidden=256)
    both_ways = seeded(deepspeech, deepspeech.out)
    forward = forward_model()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        step("1. torchaudio's DeepSpeech behind convolutions, for all frames at once")
        speech = exported(both_ways, folder / "custom_deepspeech.nnef.tgz")

        step("2. It can't stream: one half of its RNN begins at the last frame")
        try:
            speech.pulse(S=8)
        except errors.PulseError as refusal:
            tell(refusal, "yellow")

        step("3. tract would stream it all the same, eight frames at a time, with other numbers")
        let_through(speech, folder / "custom_deepspeech_pulse8.nnef.tgz")

        step("4. With an RNN that runs forward, streams are equal, however long they are")
        speech = exported(forward, folder / "forward_deepspeech.nnef.tgz")
        console.print(check_stream(speech, lengths=[13, 100, 1000], S=8))

        step("5. Letters come as soon as they can")
        listen(speech, forward)


if __name__ == "__main__":
    main()
