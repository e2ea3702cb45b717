"""The network that resamples a microphone's sound gives what torchaudio gives, also as a stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio

from browser_vad.resampler import RATES, Resampler
from harness import export
from torchtract import check_stream
from vad.network import RATE


@pytest.mark.parametrize("rate", RATES)
def test_resamples_as_torchaudio_does(rate: int) -> None:
    network = Resampler(rate).eval()
    audio = torch.randn(2, 40 * network.step, generator=torch.Generator().manual_seed(0))
    expected = torchaudio.functional.resample(audio, rate, RATE)
    torch.testing.assert_close(network(audio), expected, atol=2e-5, rtol=0)

    model = export(network, audio, dynamic_axes={"audio": {0: "B", 1: "S"}})
    np.testing.assert_allclose(model.compile()(audio), expected, atol=2e-5)
    check_stream(model, {"audio": audio.numpy()}, S=network.step)
