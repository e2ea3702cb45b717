"""Silero VAD as a module that streams: does this voice-activity detector hear speech?"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FRAME", "RATE", "SileroVAD", "package_file"]

RATE = 16_000
"""Samples per second."""
FRAME = 512
"""Samples of a frame, which has one probability: 32 ms."""
_CONTEXT = 64
"""Samples before a frame, and mirrored behind it, that its spectrum needs."""


class SileroVAD(nn.Module):
    """The probability that there is speech, for each frame of audio.

    The package `silero-vad` runs its model on one frame at a time: the caller hands over the state
    of the LSTM and the 64 samples before the frame. Here, all frames are an axis of their own,
    every layer but the LSTM treats each of them by itself, and what comes from the frame before is
    inside of the module. So it computes whole recordings at once, and streams.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv2d(1, 258, (1, 256), stride=(1, 128), bias=False)
        # Strides leave two of the four columns of a spectrum, and then one. There, the package's
        # kernels of three lie on padding but for two columns and one: the last two have no more.
        self.encoder = nn.Sequential(
            nn.Conv2d(129, 128, (1, 3), padding=(0, 1)),
            nn.ReLU(),
            nn.Conv2d(128, 64, (1, 3), stride=(1, 2), padding=(0, 1)),
            nn.ReLU(),
            nn.Conv2d(64, 64, (1, 2)),
            nn.ReLU(),
            nn.Conv2d(64, 128, 1),
            nn.ReLU(),
        )
        self.memory = nn.LSTM(128, 128, batch_first=True)
        self.score = nn.Linear(128, 1)

    def forward(self, audio: Tensor) -> Tensor:
        """Probabilities [B, S / 512] of samples [B, S] from -1 to 1, S a multiple of 512."""
        batch, samples = audio.shape
        frames = audio.view(batch, 1, samples // FRAME, FRAME)
        before = F.pad(frames[..., -_CONTEXT:], (0, 0, 1, 0))[:, :, :-1]
        mirrored = frames[..., -_CONTEXT - 1 : -1].flip(-1)
        waves: Tensor = self.stft(torch.cat([before, frames, mirrored], -1))
        cosines, sines = waves[:, :129], waves[:, 129:]
        columns = self.encoder((cosines.square() + sines.square()).sqrt())
        remembered: Tensor = self.memory(columns.squeeze(3).transpose(1, 2))[0]
        scores: Tensor = self.score(remembered.relu())
        return scores.sigmoid().squeeze(2)

    @classmethod
    def pretrained(cls) -> SileroVAD:
        """The network with the weights that the package ships, in evaluation mode.

        They are those of its TorchScript file, which its ONNX files have too. (The safetensors
        file of silero-vad 6.2.3 has those of another training, and gives other probabilities.)

        | here | there |
        |---|---|
        | `stft` | `stft.forward_basis_buffer`, cosines and then sines under a window |
        | `encoder.0`, `.2`, `.4`, `.6` | `encoder.0` to `encoder.3`, each a `reparam_conv` |
        | `memory` | `decoder.rnn` |
        | `score` | `decoder.decoder.2` |
        """
        weights = torch.jit.load(package_file("silero_vad.jit")).state_dict()
        # There are two networks in it: `_model_8k` is for the other rate.
        theirs = {name.removeprefix("_model."): weight for name, weight in weights.items()}
        ours = {"stft.weight": theirs["stft.forward_basis_buffer"].unsqueeze(2)}
        for layer, taps in enumerate((slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2))):
            here, there = f"encoder.{2 * layer}", f"encoder.{layer}.reparam_conv"
            ours[f"{here}.weight"] = theirs[f"{there}.weight"][:, :, None, taps]
            ours[f"{here}.bias"] = theirs[f"{there}.bias"]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            ours[f"memory.{name}_l0"] = theirs[f"decoder.rnn.{name}"]
        ours["score.weight"] = theirs["decoder.decoder.2.weight"].squeeze(2)
        ours["score.bias"] = theirs["decoder.decoder.2.bias"]
        network = cls()
        network.load_state_dict(ours)
        return network.eval()


def package_file(name: str) -> Path:
    """A data file of the package `silero-vad`, without importing it: it sets torch's threads.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("silero_vad is missing: pip install silero-vad")
    return Path(spec.origin).parent / "data" / name
