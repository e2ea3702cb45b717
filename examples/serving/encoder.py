"""A speech encoder to serve where no file is given."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from torchtract import PulsedModel, TractNNEF, export_model_to_nnef, load


class Encoder(torch.nn.Module):
    """16 kHz audio to 100 vectors a second, by a convolution and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = torch.nn.Conv1d(1, 32, kernel_size=400, stride=160)
        self.gru = torch.nn.GRU(32, 32, batch_first=True)
        self.head = torch.nn.Linear(32, 8)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """[batch, samples] to [batch, a hundred and sixtieth of the samples, 8]."""
        windows = torch.relu(self.windows(audio.unsqueeze(1)))
        hidden, _ = self.gru(windows.transpose(1, 2))
        encoding: torch.Tensor = self.head(hidden)
        return encoding


def seeded_encoder() -> PulsedModel:
    """The encoder with random weights, in pulses of 40 ms."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "encoder.nnef.tgz"
        export_model_to_nnef(
            model=Encoder().eval(),
            args=torch.rand(2, 1600),
            file_path_export=path,
            inference_target=TractNNEF(dynamic_axes={"audio": {0: "B", 1: "S"}}),
            input_names=["audio"],
            output_names=["encoding"],
        )
        return load(path).pulse(S=640)
