"""Every transform of torchaudio that draws no random numbers, its time free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torchaudio import transforms as library

from models.cases import ModelCase

__all__ = ["REFUSED", "TRANSFORMS"]

_TRACED = {"B": 2, "S": 2000}
_SIZES = ({"B": 1, "S": 3217}, {"B": 3, "S": 1600})
_FRAMES = {"B": 2, "S": 20}
_OTHER_FRAMES = ({"B": 1, "S": 33}, {"B": 3, "S": 12})


class _OfComplex(torch.nn.Module):
    """A transform of complex tensors, whose inputs and outputs are pairs of real numbers."""

    def __init__(self, transform: torch.nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _real(self.transform(torch.view_as_complex(x)))


class _OfComplexAndMasks(torch.nn.Module):
    """A transform of a complex spectrogram and of real tensors beside it."""

    def __init__(self, transform: torch.nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return _real(self.transform(torch.view_as_complex(x), mask))


class _OfComplexOnly(torch.nn.Module):
    """A transform of several complex tensors: a spectrogram, and matrices for each frequency."""

    def __init__(self, transform: torch.nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, x: torch.Tensor, first: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        x, first, noise = (torch.view_as_complex(t) for t in (x, first, noise))
        return _real(self.transform(x, first, noise, 0))


def _real(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _of_samples(
    make: Callable[[], torch.nn.Module], input_name: str = "waveform", name: str = ""
) -> ModelCase:
    return ModelCase(
        name=name or _name_of(make),
        make=lambda: make().eval(),
        inputs=lambda B, S: (torch.rand(B, S) * 2 - 1,),  # noqa: N803
        dynamic_axes={input_name: {0: "B", 1: "S"}},
        traced=_TRACED,
        sizes=_SIZES,
    )


def _of_frames(
    make: Callable[[], torch.nn.Module],
    shape: tuple[int, ...],
    input_name: str = "specgram",
) -> ModelCase:
    """A transform of positive numbers [B, *shape], one axis of which, 0 in `shape`, is time."""
    axis = 1 + shape.index(0)

    def inputs(B: int, S: int) -> tuple[torch.Tensor]:  # noqa: N803
        return (torch.rand(B, *(S if n == 0 else n for n in shape)) + 0.01,)

    return ModelCase(
        name=_name_of(make),
        make=lambda: make().eval(),
        inputs=inputs,
        dynamic_axes={input_name: {0: "B", axis: "S"}},
        traced=_FRAMES,
        sizes=_OTHER_FRAMES,
    )


def _of_complex(make: Callable[[], torch.nn.Module], frequencies: int) -> ModelCase:
    return ModelCase(
        name=_name_of(make),
        make=lambda: _OfComplex(make()).eval(),
        inputs=lambda B, S: (torch.randn(B, frequencies, S, 2),),  # noqa: N803
        dynamic_axes={"x": {0: "B", 2: "S"}},
        traced=_FRAMES,
        sizes=_OTHER_FRAMES,
    )


def _of_channels(make: Callable[[], torch.nn.Module]) -> ModelCase:
    """A transform of a complex spectrogram of 3 channels, and a mask of it."""
    return ModelCase(
        name=_name_of(make),
        make=lambda: _OfComplexAndMasks(make()).eval(),
        inputs=lambda B, S: (torch.randn(B, 3, 33, S, 2), torch.rand(B, 33, S)),  # noqa: N803
        dynamic_axes={"x": {0: "B", 3: "S"}, "mask": {0: "B", 2: "S"}},
        traced=_FRAMES,
        sizes=_OTHER_FRAMES,
    )


def _beamformer(make: Callable[[], torch.nn.Module], first: tuple[int, ...]) -> ModelCase:
    """A transform of a spectrogram, a matrix or vector of the speech, and one of the noise."""

    def inputs(B: int, S: int) -> tuple[torch.Tensor, ...]:  # noqa: N803
        noise = torch.randn(B, 33, 3, 3, dtype=torch.complex64)
        noise = noise @ noise.mH + torch.eye(3)
        matrix = torch.randn(B, 33, *first, 2)
        return torch.randn(B, 3, 33, S, 2), matrix, torch.view_as_real(noise)

    return ModelCase(
        name=_name_of(make),
        make=lambda: _OfComplexOnly(make()).eval(),
        inputs=inputs,
        dynamic_axes={"x": {0: "B", 3: "S"}, "first": {0: "B"}, "noise": {0: "B"}},
        traced=_FRAMES,
        sizes=_OTHER_FRAMES,
    )


def _of_two(
    make: Callable[[], torch.nn.Module], name: str, names: tuple[str, str], other: int
) -> ModelCase:
    """A transform of samples and of a kernel of `other` samples."""
    return ModelCase(
        name=name,
        make=lambda: make().eval(),
        inputs=lambda B, S: (torch.randn(B, S), torch.randn(B, other)),  # noqa: N803
        dynamic_axes={names[0]: {0: "B", 1: "S"}, names[1]: {0: "B"}},
        traced=_TRACED,
        sizes=_SIZES,
    )


def _add_noise() -> ModelCase:
    return ModelCase(
        name="transforms.AddNoise",
        make=lambda: library.AddNoise().eval(),
        inputs=lambda B, S: (torch.randn(B, S), torch.randn(B, S), torch.rand(B) * 10),  # noqa: N803
        dynamic_axes={
            "waveform": {0: "B", 1: "S"},
            "noise": {0: "B", 1: "S"},
            "snr": {0: "B"},
        },
        traced=_TRACED,
        sizes=_SIZES,
    )


def _mu_law_decoding() -> ModelCase:
    return ModelCase(
        name="transforms.MuLawDecoding",
        make=lambda: library.MuLawDecoding().eval(),
        inputs=lambda B, S: (torch.randint(0, 256, (B, S)),),  # noqa: N803
        dynamic_axes={"x_mu": {0: "B", 1: "S"}},
        traced=_TRACED,
        sizes=_SIZES,
    )


def _name_of(make: Any) -> str:
    if not isinstance(make, partial):
        return f"transforms.{make.__name__}"
    arguments = [*map(str, make.args), *(f"{k}={v}" for k, v in make.keywords.items())]
    return f"transforms.{make.func.__name__}({', '.join(arguments)})"


_SPECTRUM = {"n_fft": 256, "hop_length": 100}

TRANSFORMS = (
    _of_samples(partial(library.Spectrogram, n_fft=256)),
    _of_samples(partial(library.Spectrogram, n_fft=200, power=1.0, center=False)),
    _of_samples(partial(library.Spectrogram, n_fft=200, pad=7, normalized=True)),
    _of_samples(partial(library.MelSpectrogram, n_mels=64)),
    _of_samples(partial(library.MelSpectrogram, n_fft=256, win_length=200, n_mels=40, power=1.0)),
    _of_samples(
        partial(library.MFCC, n_mfcc=20, melkwargs=_SPECTRUM | {"n_mels": 40}),
        name="transforms.MFCC",
    ),
    _of_samples(
        partial(library.MFCC, log_mels=True, melkwargs=_SPECTRUM | {"n_mels": 40}),
        name="transforms.MFCC(log_mels=True)",
    ),
    _of_samples(partial(library.LFCC, n_lfcc=20, n_filter=40)),
    _of_samples(partial(library.Resample, 16000, 8000)),
    _of_samples(partial(library.Resample, 8000, 16000)),
    _of_samples(partial(library.Resample, 44100, 16000)),
    _of_samples(partial(library.Resample, 4, 3, resampling_method="sinc_interp_kaiser")),
    _of_samples(partial(library.Speed, 16000, 1.25)),
    _of_samples(library.Preemphasis),
    _of_samples(library.Deemphasis),
    _of_samples(partial(library.Fade, 300, 500)),
    _of_samples(partial(library.Fade, 300, 500, fade_shape="logarithmic")),
    _of_samples(partial(library.Vol, 2.0)),
    _of_samples(partial(library.Vol, -6.0, gain_type="db")),
    _of_samples(library.MuLawEncoding, "x"),
    _mu_law_decoding(),
    _of_samples(partial(library.SpectralCentroid, 16000)),
    # Its filters are stable from 3000 samples a second on.
    _of_samples(partial(library.Loudness, 4000), "wavefrom"),
    _of_samples(partial(library.Vad, 16000)),
    _of_frames(library.AmplitudeToDB, (40, 0), "x"),
    _of_frames(partial(library.AmplitudeToDB, "magnitude", top_db=20.0), (40, 0), "x"),
    _of_frames(library.ComputeDeltas, (40, 0)),
    _of_frames(partial(library.ComputeDeltas, win_length=3, mode="reflect"), (40, 0)),
    _of_frames(partial(library.MelScale, 40), (201, 0)),
    _of_frames(partial(library.InverseMelScale, 65, 20), (20, 0), "melspec"),
    _of_frames(partial(library.SlidingWindowCmn, cmn_window=8), (0, 20)),
    _of_frames(
        partial(library.SlidingWindowCmn, cmn_window=8, center=True, norm_vars=True), (0, 20)
    ),
    _of_frames(partial(library.GriffinLim, n_fft=64, n_iter=3, rand_init=False), (33, 0)),
    _of_complex(partial(library.InverseSpectrogram, n_fft=64), 33),
    _of_complex(partial(library.TimeStretch, n_freq=33, fixed_rate=1.25), 33),
    _of_channels(library.PSD),
    _of_channels(partial(library.MVDR, ref_channel=0)),
    _beamformer(library.SoudenMVDR, (3, 3)),
    _beamformer(library.RTFMVDR, (3,)),
    _of_two(library.Convolve, "transforms.Convolve", ("x", "y"), 100),
    _of_two(partial(library.Convolve, "same"), "transforms.Convolve(same)", ("x", "y"), 100),
    _of_two(partial(library.FFTConvolve, "full"), "transforms.FFTConvolve", ("x", "y"), 100),
    _add_noise(),
)

_LOOP_OVER_FRAMES = "needs the size to be 20"

#: Transforms that are refused, and a part of the message that says why.
REFUSED: Mapping[str, str] = {
    "transforms.Vad(16000)": "data-dependent",
    "transforms.Convolve": "runs other code",  # for a longer second sound
    "transforms.Convolve(same)": "runs other code",
    "transforms.FFTConvolve": "may add or crop",
    "transforms.SlidingWindowCmn(cmn_window=8)": _LOOP_OVER_FRAMES,
    "transforms.SlidingWindowCmn(cmn_window=8, center=True, norm_vars=True)": _LOOP_OVER_FRAMES,
}
