"""Every model of torchaudio, with random weights, and the parts of those that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import torch
import torchaudio.models as library
from torchaudio.models import rnnt, tacotron2, wavernn

from models.cases import ModelCase
from models.torchaudio_transforms import REFUSED as REFUSED_TRANSFORMS
from models.torchaudio_transforms import TRANSFORMS
from models.weights import random_weights

__all__ = ["CASES", "REFUSED"]

_Make = Callable[[], torch.nn.Module]


class _Part(torch.nn.Module):
    """One call of a module as the module's forward, for parts of it and for states in lists."""

    def __init__(self, module: torch.nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, x: torch.Tensor) -> Any:
        return self.call(self.module, x)


class _EmformerSegment(torch.nn.Module):
    """A segment of a stream, with the state of each layer before it: `Emformer.infer`."""

    def __init__(self) -> None:
        super().__init__()
        self.emformer = library.Emformer(
            32, 4, 64, 2, segment_length=8, left_context_length=16, right_context_length=4
        )

    def forward(self, segment: torch.Tensor, states: list[list[torch.Tensor]]) -> Any:
        lengths = torch.full((segment.shape[0],), segment.shape[1])
        return self.emformer.infer(segment, lengths, states)


def _case(
    name: str,
    make: _Make,
    shape: tuple[str | int, ...],
    at: tuple[Mapping[str, int], ...],
    *,
    input_name: str = "x",
) -> ModelCase:
    """A model with one input, whose axes are symbols or sizes, traced at the first of these."""

    def inputs(**sizes: int) -> tuple[torch.Tensor]:
        return (torch.randn([sizes[n] if isinstance(n, str) else n for n in shape]),)

    return ModelCase(
        name=name,
        make=lambda: random_weights(make, *inputs(**(dict(at[0]) | {"B": 3}))),
        inputs=inputs,
        dynamic_axes={input_name: {i: s for i, s in enumerate(shape) if isinstance(s, str)}},
        traced=at[0],
        sizes=at[1:],
    )


def _with_lengths(
    name: str, make: _Make, features: int, rest: int = 0, input_name: str = "input"
) -> ModelCase:
    """A model of features [B, T + rest, features] and the length of each row."""

    def inputs(B: int, T: int) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: N803
        lengths = torch.randint(T // 2, T + 1, (B,))
        lengths[0] = T
        return torch.randn(B, T + rest, features), lengths

    return ModelCase(
        name=name,
        make=lambda: random_weights(make, *inputs(3, 24)),
        inputs=inputs,
        dynamic_axes={input_name: {0: "B", 1: "T"}, "lengths": {0: "B"}},
        traced={"B": 2, "T": 24},
        sizes=({"B": 1, "T": 16}, {"B": 3, "T": 40}),
    )


def _conformer() -> torch.nn.Module:
    conformer: torch.nn.Module = library.Conformer(80, 4, 128, 2, depthwise_conv_kernel_size=31)
    return conformer


def _conformer_layers(conformer: Any, x: torch.Tensor) -> torch.Tensor:
    x = x.transpose(0, 1)
    for layer in conformer.conformer_layers:
        x = layer(x, None)
    return x.transpose(0, 1)


_FRAMES = ({"B": 2, "T": 24}, {"B": 1, "T": 37}, {"B": 3, "T": 16})
_SAMPLES = ({"B": 2, "S": 4000}, {"B": 1, "S": 6543}, {"B": 3, "S": 3200})

_CONV_TASNETS: Mapping[str, _Make] = {
    "ConvTasNet": partial(
        library.ConvTasNet, msk_num_feats=32, msk_num_hidden_feats=64, enc_num_feats=64
    ),
    "conv_tasnet_base": library.conv_tasnet_base,
}


def _conv_tasnet(name: str) -> Iterator[ModelCase]:
    """As it is, and for lengths that are promised to be whole strides."""
    case = _case(name, _CONV_TASNETS[name], ("B", 1, "S"), _SAMPLES, input_name="input")
    yield case
    yield replace(
        case,
        name=f"{name}, whole strides",
        sizes=({"B": 1, "S": 6544}, {"B": 3, "S": 3200}),
        assertions=("tract_assert 8 * (S / 8) == S",),
    )


_ENCODERS = {
    "wav2vec2_base": 12,
    "wav2vec2_large": 24,
    "wav2vec2_large_lv60k": 24,
    "wav2vec2_xlsr_300m": 24,
    "wav2vec2_xlsr_1b": 4,  # of 48 layers that are alike
    "wav2vec2_xlsr_2b": 4,
    "hubert_base": 12,
    "hubert_large": 24,
    "hubert_xlarge": 4,
    "wavlm_base": 12,
    "wavlm_large": 24,
}


def _encoder(name: str, layers: int) -> torch.nn.Module:
    model: Any = getattr(library, name)()
    del model.encoder.transformer.layers[layers:]
    return model  # type: ignore[no-any-return]


def _emformer_segments() -> ModelCase:
    def inputs(B: int) -> tuple[Any, ...]:  # noqa: N803
        states = [
            [
                torch.randn(0, B, 32),
                torch.randn(16, B, 32),
                torch.randn(16, B, 32),
                torch.full((1, B), 8, dtype=torch.int32),
            ]
            for _ in range(2)
        ]
        return torch.randn(B, 12, 32), states

    return ModelCase(
        name="Emformer, a segment of a stream",
        make=lambda: random_weights(_EmformerSegment),
        inputs=inputs,
        dynamic_axes={
            "segment": {0: "B"},
            **{f"states_{layer}_{part}": {1: "B"} for layer in range(2) for part in range(4)},
        },
        traced={"B": 2},
        sizes=({"B": 1}, {"B": 3}),
    )


def _joiner() -> ModelCase:
    def inputs(B: int, T: int, U: int) -> tuple[torch.Tensor, ...]:  # noqa: N803
        lengths = torch.full((B,), T, dtype=torch.int32), torch.full((B,), U, dtype=torch.int32)
        return torch.randn(B, T, 64), lengths[0], torch.randn(B, U, 64), lengths[1]

    return ModelCase(
        name="RNNT, joiner",
        make=lambda: random_weights(partial(rnnt._Joiner, 64, 100)),
        inputs=inputs,
        dynamic_axes={
            "source_encodings": {0: "B", 1: "T"},
            "source_lengths": {0: "B"},
            "target_encodings": {0: "B", 1: "U"},
            "target_lengths": {0: "B"},
        },
        traced={"B": 2, "T": 5, "U": 3},
        sizes=({"B": 1, "T": 9, "U": 4}, {"B": 3, "T": 1, "U": 7}),
    )


def _predictor() -> ModelCase:
    def inputs(B: int, U: int) -> tuple[torch.Tensor, ...]:  # noqa: N803
        return torch.randint(0, 100, (B, U)), torch.full((B,), U, dtype=torch.int32)

    return ModelCase(
        name="RNNT, predictor",
        make=lambda: random_weights(
            partial(rnnt._Predictor, 100, 64, 32, 2, 48, lstm_layer_norm=True)
        ),
        inputs=inputs,
        dynamic_axes={"input": {0: "B", 1: "U"}, "lengths": {0: "B"}},
        traced={"B": 2, "U": 4},
        sizes=({"B": 1, "U": 7}, {"B": 3, "U": 1}),
    )


def _tacotron2_encoder() -> ModelCase:
    make = partial(tacotron2._Encoder, 64, 2, 5)

    def inputs(B: int, T: int) -> tuple[torch.Tensor, ...]:  # noqa: N803
        return torch.randn(B, 64, T), T - 3 * torch.arange(B)

    return ModelCase(
        name="Tacotron2, encoder",
        make=lambda: random_weights(make, *inputs(3, 24)),
        inputs=inputs,
        dynamic_axes={"x": {0: "B", 2: "T"}, "input_lengths": {0: "B"}},
        traced=_FRAMES[0],
        sizes=_FRAMES[1:],
    )


def _tacotron2_convolutions(encoder: Any, x: torch.Tensor) -> Any:
    """The encoder for texts of one length: without packing."""
    for convolution in encoder.convolutions:
        x = torch.nn.functional.relu(convolution(x))
    return encoder.lstm(x.transpose(1, 2))[0]


def _wavernn() -> ModelCase:
    sizes = {"n_freq": 16, "n_hidden": 16, "n_output": 16}
    make = partial(library.WaveRNN, [2, 3, 4], 256, 24, 2, 32, 32, **sizes)

    def inputs(B: int) -> tuple[torch.Tensor, ...]:  # noqa: N803
        return torch.randn(B, 1, 9 * 24), torch.randn(B, 1, 16, 13)

    return ModelCase(
        name="WaveRNN",
        make=lambda: random_weights(make, *inputs(3)),
        inputs=inputs,
        dynamic_axes={"waveform": {0: "B"}, "specgram": {0: "B"}},
        traced={"B": 2},
        sizes=({"B": 1}, {"B": 3}),
    )


_MODELS = (
    _case("Wav2Letter, waveform", partial(library.Wav2Letter, 40), ("B", 1, "S"), _SAMPLES),
    _case(
        "Wav2Letter, mfcc",
        partial(library.Wav2Letter, 40, "mfcc", 13),
        ("B", 13, "T"),
        ({"B": 2, "T": 60}, {"B": 1, "T": 97}, {"B": 3, "T": 51}),
    ),
    _with_lengths("Conformer", _conformer, 80),
    _case(
        "Conformer, layers",
        lambda: _Part(_conformer(), _conformer_layers),
        ("B", "T", 80),
        _FRAMES,
    ),
    _with_lengths(
        "Emformer",
        partial(library.Emformer, 32, 4, 64, 2, 8, left_context_length=16, right_context_length=4),
        32,
        rest=4,
    ),
    _emformer_segments(),
    *chain.from_iterable(map(_conv_tasnet, _CONV_TASNETS)),
    _case("DeepSpeech", partial(library.DeepSpeech, 40, 128), ("B", 1, "T", 40), _FRAMES),
    _wavernn(),
    _case(
        "WaveRNN, upsampling",
        lambda: _Part(wavernn.UpsampleNetwork([2, 3, 4], 2, 16, 16, 16), lambda m, x: m(x)),
        ("B", 16, "T"),
        _FRAMES,
    ),
    _tacotron2_encoder(),
    _case(
        "Tacotron2, encoder of texts of one length",
        lambda: _Part(tacotron2._Encoder(64, 2, 5), _tacotron2_convolutions),
        ("B", 64, "T"),
        _FRAMES,
    ),
    _case("Tacotron2, postnet", partial(tacotron2._Postnet, 80, 64, 5, 5), ("B", 80, "T"), _FRAMES),
    *(
        _case(
            name,
            partial(_encoder, name, layers),
            ("B", "S"),
            _SAMPLES,
            input_name="waveforms",
        )
        for name, layers in _ENCODERS.items()
    ),
    _predictor(),
    _joiner(),
    _with_lengths(
        "emformer_rnnt_base, transcriber",
        lambda: library.emformer_rnnt_base(100).transcriber,
        80,
        rest=16,
    ),
    *(
        _case(
            name,
            partial(getattr(library, name), ["drums", "voice"]),
            ("B", 2, "S"),
            ({"B": 2, "S": 20000}, {"B": 1, "S": 30001}, {"B": 3, "S": 16000}),
            input_name="input",
        )
        for name in ("hdemucs_low", "hdemucs_medium", "hdemucs_high")
    ),
    _case("squim_objective_base", library.squim_objective_base, ("B", "S"), _SAMPLES),
)

#: Models that loop over their frames in Python, or pad by what is left of them.
_OF_FIXED_LENGTH: Mapping[str, Mapping[str, int]] = {
    "Emformer": {"T": 24},
    "emformer_rnnt_base, transcriber": {"T": 24},
    "RNNT, predictor": {"U": 4},
    "hdemucs_low": {"S": 20000},
}


def _of_fixed_length(case: ModelCase) -> ModelCase:
    """With the batch alone free."""
    fixed = _OF_FIXED_LENGTH[case.name]
    symbol, size = next(iter(fixed.items()))
    return replace(
        case,
        name=f"{case.name}, {symbol} = {size}",
        inputs=partial(case.inputs, **fixed),
        dynamic_axes={
            name: {axis: s for axis, s in axes.items() if s != symbol}
            for name, axes in case.dynamic_axes.items()
        },
        traced={"B": 2},
        sizes=({"B": 1}, {"B": 3}),
    )


CASES = (
    *_MODELS,
    *(_of_fixed_length(case) for case in _MODELS if case.name in _OF_FIXED_LENGTH),
    *TRANSFORMS,
)

#: Models that are refused, and a part of the message that says why.
REFUSED: Mapping[str, str] = {
    "Emformer": "data-dependent",  # a loop over segments
    # Slices of the state that are as long as a number in it says.
    "Emformer, a segment of a stream": "known only while running",
    "emformer_rnnt_base, transcriber": "data-dependent",
    "RNNT, predictor": "needs the size to be 4",  # a loop in Python over the labels
    # Padded to whole strides where they aren't, and the rest is cut off.
    "ConvTasNet": "promise the condition",
    "conv_tasnet_base": "promise the condition",
    **dict.fromkeys(("hdemucs_low", "hdemucs_medium", "hdemucs_high"), "runs other code"),
    **REFUSED_TRANSFORMS,
}
