"""`torch.istft` to as many samples as there were: a length that is a symbol."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import uniform

pytestmark = [
    pytest.mark.filterwarnings("ignore:A window was not provided"),
    pytest.mark.filterwarnings("ignore:The length of signal is shorter"),
]

AXES = {"x0": {0: "B", 1: "S"}}
# Whole hops, samples that are left over, and hardly more than a window.
SIZES = [{"B": 1, "S": 400}, {"B": 3, "S": 333}, {"B": 2, "S": 65}]


@pytest.mark.parametrize("samples", [0, -16, -75], ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        {"window": torch.hann_window(64), "hop_length": 16},
        {"window": torch.hamming_window(64), "hop_length": 24, "normalized": True},
        {"window": torch.hann_window(48), "win_length": 48, "hop_length": 12},
        {"center": False},
        {"window": torch.hann_window(51), "win_length": 51, "onesided": True},
    ],
    ids=["hann", "normalized", "short", "no window", "odd"],
)
def test_as_many_samples_as_there_were(samples: int, settings: dict[str, Any]) -> None:
    def filtered(x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(x, 64, return_complex=True, **settings)
        gains = torch.linspace(1, 0.2, spectrum.shape[1])
        length = (x.shape[1] + samples) // 2 * 2
        y: torch.Tensor = torch.istft(spectrum * gains[:, None], 64, length=length, **settings)
        return y

    sizes = [s for s in SIZES if s["S"] + samples > 0]
    export_and_compare(
        filtered, uniform(2, 320), dynamic_axes=AXES, sizes=sizes, rtol=1e-3, atol=1e-4
    )


def test_without_a_batch_and_as_a_method() -> None:
    window = torch.hann_window(64)

    def same(x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(x, 64, 16, window=window, return_complex=True)
        y: torch.Tensor = spectrum.istft(64, 16, window=window, length=x.shape[0])
        return y - x

    sizes = [{"S": 100}, {"S": 333}]
    export_and_compare(same, uniform(320), dynamic_axes={"x0": {0: "S"}}, sizes=sizes)
