"""Fourier transforms of any size, and spectrograms of signals of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchaudio
from torch import fft

from harness import export_and_compare
from lower.ops.inputs import uniform

Function = Callable[[torch.Tensor], torch.Tensor]

AXES = {"x0": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 64}, {"B": 3, "S": 57}, {"B": 2, "S": 2}]
WINDOW = torch.hann_window(16)

TRANSFORMS: dict[str, Function] = {
    "rfft": fft.rfft,
    "fft": lambda x: fft.fft(x, norm="ortho"),
    "ifft": lambda x: fft.ifft(x, dim=0),
    "ihfft": fft.ihfft,
    "irfft": lambda x: fft.irfft(fft.rfft(x)),
    "irfft_of_a_size": lambda x: fft.irfft(fft.rfft(x), n=x.shape[1], norm="forward"),
    "hfft": lambda x: fft.hfft(fft.rfft(x)),
    "fft2": lambda x: fft.fft2(x, norm="forward"),
    "rfft2": fft.rfft2,
    "irfft2": lambda x: fft.irfft2(fft.rfft2(x), s=x.shape),
    "there_and_back": lambda x: fft.ifft(fft.fft(x) * 2),
}
SPECTROGRAMS: dict[str, Function] = {
    "magnitude": lambda x: torch.stft(x, 16, 4, window=WINDOW, return_complex=True).abs(),
    "one_signal": lambda x: torch.stft(x[0], 16, 5, window=WINDOW, return_complex=True),
    "not_centred": lambda x: torch.stft(
        x, 16, 4, window=torch.hann_window(10), win_length=10, center=False, return_complex=True
    ),
    "two_sides": lambda x: torch.stft(
        x, 16, win_length=11, onesided=False, normalized=True, return_complex=True
    ),
    "of_a_window_made_in_the_model": lambda x: torch.stft(
        x, 15, 4, window=torch.hann_window(15).to(x), pad_mode="constant", return_complex=True
    ),
}


def parts(function: Function) -> Callable[..., Any]:
    """The function with its complex result taken apart."""

    def real(x: torch.Tensor) -> torch.Tensor:
        y = function(x)
        return torch.view_as_real(y.resolve_conj()) if y.is_complex() else y

    return real


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name: str) -> None:
    function = parts(TRANSFORMS[name])
    export_and_compare(function, uniform(2, 30), dynamic_axes=AXES, sizes=SIZES, atol=1e-4)


@pytest.mark.parametrize("name", ["rfft", "fft", "irfft", "irfft2"])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_transform_of_fixed_sizes(name: str, size: int) -> None:
    if name.startswith("irfft") and size == 1:
        pytest.skip("PyTorch has no inverse for it")
    export_and_compare(parts(TRANSFORMS[name]), uniform(3, size))


def test_transform_of_float64() -> None:
    x = uniform(3, 40).double()
    export_and_compare(parts(fft.rfft), x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("length", [20, 9])
def test_transform_of_a_part(length: int) -> None:
    export_and_compare(
        parts(lambda x: fft.rfft(x, n=length)),
        uniform(2, 30),
        dynamic_axes={"x0": {1: "S"}},
        sizes=[{"S": 20}, {"S": 41}],
        custom_extensions=["tract_assert S >= 20"],
    )


@pytest.mark.filterwarnings("ignore:A window was not provided")
@pytest.mark.parametrize("name", SPECTROGRAMS)
def test_spectrogram(name: str) -> None:
    sizes = [{"B": 1, "S": 40}, {"B": 3, "S": 131}]
    function = parts(SPECTROGRAMS[name])
    export_and_compare(function, uniform(2, 100), dynamic_axes=AXES, sizes=sizes, atol=1e-4)


@pytest.mark.filterwarnings("ignore:stft with return_complex=False is deprecated")
def test_real_spectrogram() -> None:
    def spectrogram(x: torch.Tensor) -> torch.Tensor:
        return torch.stft(x, 16, 4, window=WINDOW, return_complex=False)

    export_and_compare(spectrogram, uniform(2, 50), dynamic_axes=AXES, sizes=[{"B": 1, "S": 99}])


@pytest.mark.parametrize(
    "features",
    [
        torchaudio.transforms.Spectrogram(64),
        torchaudio.transforms.MelSpectrogram(16000, n_fft=400, n_mels=20),
        torchaudio.transforms.MFCC(melkwargs={"n_fft": 400, "n_mels": 64}),
    ],
    ids=lambda m: type(m).__name__,
)
def test_features_of_speech(features: torch.nn.Module) -> None:
    axes = {"waveform": {0: "B", 1: "S"}}
    sizes = [{"B": 1, "S": 800}, {"B": 3, "S": 2001}]
    export_and_compare(features, uniform(2, 1600), dynamic_axes=axes, sizes=sizes, atol=1e-3)


def mixed_in_frequency(x: torch.Tensor) -> Any:
    filters = torch.polar(torch.ones(8), torch.arange(8.0))
    return x + fft.irfft(fft.rfft(x, dim=1) * filters, n=x.shape[1], dim=1)


def correlated(x: torch.Tensor) -> Any:
    spectrum, shifted = fft.rfft(x, dim=1), fft.rfft(x * x, dim=1)
    lags = fft.irfft(spectrum * shifted.conj(), n=x.shape[1], dim=1).mean(2)
    weights, places = lags.topk(3, dim=1)
    return weights.softmax(1), x.gather(1, places[..., None].expand(-1, -1, 8))


@pytest.mark.parametrize("function", [mixed_in_frequency, correlated])
def test_layers_in_frequency(function: Callable[[torch.Tensor], Any]) -> None:
    sizes = [{"B": 1, "S": 4}, {"B": 3, "S": 13}]
    export_and_compare(function, uniform(2, 6, 8), dynamic_axes=AXES, sizes=sizes)


def test_complex_inputs_and_outputs() -> None:
    sizes = [{"B": 1, "S": 4}, {"B": 3, "S": 13}]
    export_and_compare(fft.rfft, uniform(2, 6, 8), dynamic_axes=AXES, sizes=sizes)
    spectrum = fft.rfft(uniform(2, 6, 8))
    export_and_compare(fft.irfft, spectrum, dynamic_axes=AXES, sizes=sizes)
