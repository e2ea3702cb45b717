"""Models of sound: of samples, of spectrograms, and such as decode texts from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.cases import ModelCase
from models.transformers_cases import SMALL, case, tokens

__all__ = ["AUDIO"]

_WAVES: dict[str, Any] = {
    **SMALL,
    "conv_dim": [16, 16, 32],
    "conv_kernel": [8, 3, 3],
    "conv_stride": [4, 2, 2],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.0,
    "apply_spec_augment": False,
}
_STACKS: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "decoder_start_token_id": 0,
}

#: Models of samples: some take a mask.
_SAMPLES: dict[str, dict[str, Any]] = {
    "Wav2Vec2Model": _WAVES,
    "Wav2Vec2Model, with a mask": {
        **_WAVES,
        "do_stable_layer_norm": True,
        "feat_extract_norm": "layer",
    },
    "Wav2Vec2ForCTC": _WAVES,
    "Wav2Vec2ForSequenceClassification": _WAVES,
    "Wav2Vec2ConformerModel": {**_WAVES, "conv_depthwise_kernel_size": 5},
    "HubertModel": _WAVES,
    "HubertModel, with a mask": _WAVES,
    "WavLMModel": _WAVES,
    "WavLMModel, with a mask": _WAVES,
    "UniSpeechModel": _WAVES,
    "UniSpeechSatModel": _WAVES,
    "SEWModel": {**_WAVES, "squeeze_factor": 2},
    "SEWDModel": {
        **_WAVES,
        "squeeze_factor": 2,
        "max_position_embeddings": 64,
        "position_buckets": 8,
    },
    "Data2VecAudioModel": {**_WAVES, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    "EncodecModel": {
        "sampling_rate": 600,
        "hidden_size": 16,
        "num_filters": 4,
        "upsampling_ratios": [4, 2],
        "codebook_size": 64,
    },
    "DacModel": {
        "encoder_hidden_size": 16,
        "decoder_hidden_size": 64,
        "downsampling_ratios": [2, 4],
        "upsampling_ratios": [4, 2],
        "n_codebooks": 3,
        "codebook_size": 64,
    },
    "MimiModel": {
        **SMALL,
        "hidden_size": 32,
        "num_filters": 4,
        "upsampling_ratios": [4, 2],
        "vector_quantization_hidden_dimension": 16,
        "codebook_size": 64,
        "codebook_dim": 16,
        "num_key_value_heads": 4,
        "head_dim": 8,
        "num_quantizers": 4,
        "upsample_groups": 32,
    },
}

#: Models of spectrograms: the name of the input, its bands, and whether frames come first.
_SPECTROGRAMS: dict[str, tuple[dict[str, Any], str, int, bool]] = {
    "ASTModel": (
        {
            **SMALL,
            "patch_size": 4,
            "num_mel_bins": 16,
            "max_length": 24,
            "time_stride": 3,
            "frequency_stride": 3,
        },
        "input_values",
        16,
        True,
    ),
    "Wav2Vec2BertModel": (
        {
            **SMALL,
            "feature_projection_input_dim": 16,
            "conv_depthwise_kernel_size": 5,
            "left_max_position_embeddings": 8,
            "right_max_position_embeddings": 4,
            "apply_spec_augment": False,
        },
        "input_features",
        16,
        True,
    ),
    "ParakeetEncoder": (
        {
            **SMALL,
            "num_mel_bins": 16,
            "subsampling_conv_channels": 8,
            "conv_kernel_size": 5,
            "initializer_range": 0.2,
        },
        "input_features",
        16,
        True,
    ),
}

#: Models that decode: the number of frames is fixed in Whisper's.
_DECODING: dict[str, tuple[dict[str, Any], bool]] = {
    "WhisperModel": (
        {
            **SMALL,
            **_STACKS,
            "num_mel_bins": 16,
            "max_source_positions": 12,
            "max_target_positions": 64,
        },
        False,
    ),
    "WhisperForConditionalGeneration": (
        {
            **SMALL,
            **_STACKS,
            "num_mel_bins": 16,
            "max_source_positions": 12,
            "max_target_positions": 64,
        },
        False,
    ),
    "Speech2TextModel": (
        {
            **SMALL,
            **_STACKS,
            "input_feat_per_channel": 16,
            "conv_channels": 32,
            "max_source_positions": 64,
            "max_target_positions": 64,
        },
        True,
    ),
    "MoonshineModel": (
        {
            **SMALL,
            "encoder_num_hidden_layers": 2,
            "decoder_num_hidden_layers": 2,
            "encoder_num_attention_heads": 4,
            "decoder_num_attention_heads": 4,
            "decoder_start_token_id": 0,
        },
        True,
    ),
}


def _samples(name: str, config: Mapping[str, Any]) -> ModelCase:
    model = name.split(",")[0]
    channel = (1,) if model in ("EncodecModel", "DacModel", "MimiModel") else ()

    def inputs(B: int, S: int) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        lengths = torch.tensor([S - 40 * row for row in range(B)])
        mask = (torch.arange(S) < lengths[:, None]).long()
        given = {"input_values": torch.randn(B, *channel, S)}
        return {**given, "attention_mask": mask} if name != model else given

    return case(
        model,
        config,
        inputs,
        axes={name: {0: "B", value.dim() - 1: "S"} for name, value in inputs(1, 100).items()},
        traced={"B": 2, "S": 600},
        sizes=({"B": 1, "S": 413}, {"B": 3, "S": 901}),
        assertions=("tract_assert B >= 1", "tract_assert S >= 200"),
        name=name,
    )


def _spectrogram(
    model: str, config: Mapping[str, Any], name: str, bands: int, frames_first: bool
) -> ModelCase:
    free = model != "ASTModel"

    def inputs(B: int, S: int = 24) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        return {name: torch.randn(B, *((S, bands) if frames_first else (bands, S)))}

    return case(
        model,
        config,
        inputs,
        axes={name: {0: "B", **({1 if frames_first else 2: "S"} if free else {})}},
        traced={"B": 2, "S": 40} if free else {"B": 2},
        sizes=({"B": 1, "S": 29}, {"B": 3, "S": 64}) if free else ({"B": 1}, {"B": 3}),
        assertions=("tract_assert S >= 16",) if free else (),
    )


def _decoding(model: str, config: Mapping[str, Any], free: bool) -> ModelCase:
    name = "input_values" if model == "MoonshineModel" else "input_features"

    def inputs(B: int, T: int, S: int = 24) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        sounds = {
            "WhisperModel": lambda: torch.randn(B, 16, S),
            "WhisperForConditionalGeneration": lambda: torch.randn(B, 16, S),
            "Speech2TextModel": lambda: torch.randn(B, S, 16),
            "MoonshineModel": lambda: torch.randn(B, S * 100),
        }
        return {name: sounds[model](), "decoder_input_ids": tokens(B, T)}

    axes = {name: {0: "B"}, "decoder_input_ids": {0: "B", 1: "T"}}
    if free:
        axes[name][1] = "S"
    return case(
        model,
        config,
        inputs,
        axes=axes,
        traced={"B": 2, "T": 6, **({"S": 40} if free else {})},
        sizes=(
            {"B": 1, "T": 2, **({"S": 29} if free else {})},
            {"B": 3, "T": 16, **({"S": 64} if free else {})},
        ),
        assertions=("tract_assert T >= 2", "tract_assert T <= 60"),
    )


AUDIO = [
    *(_samples(model, config) for model, config in _SAMPLES.items()),
    *(_spectrogram(model, *rest) for model, rest in _SPECTROGRAMS.items()),
    *(_decoding(model, *rest) for model, rest in _DECODING.items()),
]
