"""A microphone's sound at 16 kHz, as a network: so that it streams like any other."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import Resample

from vad.network import RATE

__all__ = ["RATES", "Resampler"]

RATES = (44_100, 48_000)
"""Samples per second that microphones have, mostly."""


class Resampler(nn.Module):
    """Samples of another rate, as `torchaudio.transforms.Resample` computes them.

    So many samples that both rates have them in the same time, 3 of 48 kHz or 441 of 44.1 kHz, are
    a step of a convolution with a channel for each of the 1 or 160 that they become.
    """

    kernel: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        theirs = Resample(rate, RATE)
        self.step = rate // theirs.gcd
        self.width = theirs.width
        self.register_buffer("kernel", theirs.kernel)

    def forward(self, audio: Tensor) -> Tensor:
        """Samples [B, S * 16000 / rate] of samples [B, S], S a multiple of the step."""
        padded = F.pad(audio.unsqueeze(1), (self.width, self.width))
        channels = F.conv1d(padded, self.kernel, stride=self.step)
        return channels.transpose(1, 2).flatten(1)
