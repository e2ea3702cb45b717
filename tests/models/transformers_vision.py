"""Encoders of images, detectors, and models of images with texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.cases import ModelCase
from models.transformers_cases import SMALL, case, masked, text_case

__all__ = ["VISION"]

_VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
_PYRAMID: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_WINDOWS: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
_TEXT: dict[str, Any] = {**SMALL, "projection_dim": 16}
_PAIR: dict[str, Any] = {
    "text_config": _TEXT,
    "vision_config": {**_VIT, "projection_dim": 16},
    "projection_dim": 16,
}

#: Encoders of images of one size.
_ONE_SIZE: dict[str, dict[str, Any]] = {
    "ViTModel": _VIT,
    "ViTForImageClassification": _VIT,
    "ViTMSNModel": _VIT,
    "DeiTModel": _VIT,
    "BeitModel": {**_VIT, "use_relative_position_bias": True, "use_mask_token": True},
    "Data2VecVisionModel": {**_VIT, "use_relative_position_bias": True},
    "IJepaModel": _VIT,
    "Dinov2Model": _VIT,
    "Dinov2WithRegistersModel": _VIT,
    "DINOv3ViTModel": {**_VIT, "num_register_tokens": 2},
    "SwinModel": _WINDOWS,
    "SwinForImageClassification": _WINDOWS,
    "Swinv2Model": _WINDOWS,
    "DonutSwinModel": _WINDOWS,
    "MaskFormerSwinModel": _WINDOWS,
    "LevitModel": {
        "image_size": 64,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [2, 3, 4],
        "depths": [1, 1, 1],
        "key_dim": [8, 8, 8],
    },
    "CvtModel": {
        "embed_dim": [8, 16, 32],
        "num_heads": [1, 2, 4],
        "depth": [1, 2, 3],
        "drop_path_rate": [0.0, 0.0, 0.0],
    },
    "PvtModel": {
        "image_size": 64,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 3, 4],
    },
    "CLIPVisionModel": _VIT,
    "CLIPVisionModelWithProjection": {**_VIT, "projection_dim": 16},
    "SiglipVisionModel": _VIT,
    "BlipVisionModel": {**_VIT, "initializer_range": 0.1},
    "Blip2VisionModel": {**_VIT, "initializer_range": 0.1},
    "InstructBlipVisionModel": {**_VIT, "initializer_range": 0.1},
    "AltCLIPVisionModel": _VIT,
    "ChineseCLIPVisionModel": _VIT,
    "GroupViTVisionModel": {
        **_VIT,
        "depths": [1, 1],
        "num_group_tokens": [8, 0],
        "num_output_groups": [4, 4],
    },
    "YolosModel": {**_VIT, "image_size": [32, 32], "num_detection_tokens": 5},
    "PoolFormerModel": {**_PYRAMID},
    "MobileViTModel": {
        "image_size": 64,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": 2,
        "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32],
        "initializer_range": 0.2,
    },
    "VitDetModel": {**_VIT, "window_size": 2, "window_block_indices": [0]},
    "DPTModel": {**_VIT, "num_channels": 3},
    "TimesformerModel": {**_VIT, "num_frames": 2},
    "VideoMAEModel": {**_VIT, "num_frames": 2, "tubelet_size": 2},
    "VivitModel": {**_VIT, "num_frames": 2, "tubelet_size": [2, 8, 8]},
}

#: Encoders of images of any size.
_ANY_SIZE: dict[str, dict[str, Any]] = {
    "ResNetModel": {**_PYRAMID, "embedding_size": 8, "layer_type": "bottleneck"},
    "ResNetForImageClassification": {**_PYRAMID, "embedding_size": 8, "layer_type": "basic"},
    "RegNetModel": {**_PYRAMID, "embedding_size": 8, "groups_width": 4},
    "ConvNextModel": _PYRAMID,
    "ConvNextV2Model": _PYRAMID,
    "EfficientNetModel": {
        "width_coefficient": 0.25,
        "depth_coefficient": 0.25,
        "image_size": 64,
        "hidden_dim": 320,
    },
    "MobileNetV1Model": {"depth_multiplier": 0.25},
    "MobileNetV2Model": {"depth_multiplier": 0.25},
    "BitModel": {**_PYRAMID, "embedding_size": 8, "num_groups": 4},
    "SegformerModel": {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 3, 4],
    },
    "SegformerForSemanticSegmentation": {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 3, 4],
        "decoder_hidden_size": 16,
    },
    "PvtV2Model": {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 3, 4],
    },
    "FocalNetModel": {
        "image_size": 32,
        "patch_size": 2,
        "embed_dim": 8,
        "depths": [1, 1],
        "hidden_sizes": [8, 16],
        "focal_levels": [2, 2],
        "focal_windows": [3, 3],
    },
    "SwiftFormerModel": {"depths": [1, 1, 1, 1], "embed_dims": [8, 16, 24, 32]},
    "TextNetModel": {},
    "HGNetV2Backbone": {},
    "GLPNModel": {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 3, 4],
    },
    "Swin2SRModel": {
        "image_size": 32,
        "patch_size": 1,
        "embed_dim": 8,
        "depths": [2, 2],
        "num_heads": [2, 2],
        "window_size": 4,
    },
    "UperNetForSemanticSegmentation": {},
    "SuperPointForKeypointDetection": {},
}

_DETECTORS: dict[str, dict[str, Any]] = {
    "DetrModel": {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "num_queries": 5,
        "backbone_config": {
            **_PYRAMID,
            "model_type": "resnet",
            "embedding_size": 8,
            "out_features": ["stage4"],
        },
    },
}

_PAIRS: dict[str, dict[str, Any]] = {
    "CLIPModel": _PAIR,
    "SiglipModel": _PAIR,
    "ChineseCLIPModel": _PAIR,
    "AltCLIPModel": _PAIR,
    "BlipModel": {**_PAIR, "image_text_hidden_size": 16},
    "FlavaModel": {"text_config": _TEXT, "image_config": _VIT, "multimodal_config": _TEXT},
    "ViltModel": {**SMALL, **_VIT},
}

_TEXTS: dict[str, dict[str, Any]] = {
    "CLIPTextModel": _TEXT,
    "CLIPTextModelWithProjection": _TEXT,
    "SiglipTextModel": _TEXT,
    "BlipTextModel": {**_TEXT, "encoder_hidden_size": 32, "is_decoder": False},
    "ChineseCLIPTextModel": _TEXT,
    "GroupViTTextModel": _TEXT,
}

#: Models that look at each text together with its image.
_TOGETHER = frozenset({"FlavaModel", "ViltModel"})
_VIDEO = frozenset({"TimesformerModel", "VideoMAEModel", "VivitModel"})


def _one_size(model: str, config: Mapping[str, Any]) -> ModelCase:
    side = config.get("image_size", 64)
    side = side if isinstance(side, int) else side[0]
    pixels = "pixel_values"

    def inputs(B: int) -> dict[str, torch.Tensor]:  # noqa: N803  (a symbol)
        picture = torch.randn(B, 3, side, side)
        return {pixels: torch.stack([picture, picture.flip(-1)], 1) if model in _VIDEO else picture}

    return case(model, config, inputs, {pixels: {0: "B"}}, {"B": 2}, ({"B": 1}, {"B": 5}))


def _any_size(model: str, config: Mapping[str, Any]) -> ModelCase:
    def inputs(B: int, H: int, W: int) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        return {"pixel_values": torch.randn(B, 3, H, W)}

    return case(
        model,
        config,
        inputs,
        axes={"pixel_values": {0: "B", 2: "H", 3: "W"}},
        traced={"B": 2, "H": 64, "W": 96},
        sizes=({"B": 1, "H": 96, "W": 64}, {"B": 3, "H": 128, "W": 160}),
        assertions=("tract_assert H >= 32", "tract_assert W >= 32"),
    )


def _pair(model: str, config: Mapping[str, Any]) -> ModelCase:
    """B texts and N images, or as many of both."""
    images = "B" if model in _TOGETHER else "N"

    def inputs(B: int, S: int, **rest: int) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        return {**masked(B, S), "pixel_values": torch.randn(rest.get("N", B), 3, 32, 32)}

    every = ({"B": 3, "S": 9, "N": 2}, {"B": 1, "S": 5, "N": 4}, {"B": 4, "S": 16, "N": 1})
    at = [{s: sizes[s] for s in dict.fromkeys(("B", "S", images))} for sizes in every]
    return case(
        model,
        config,
        inputs,
        axes={
            **{name: {0: "B", 1: "S"} for name in ("input_ids", "attention_mask")},
            "pixel_values": {0: images},
        },
        traced=at[0],
        sizes=tuple(at[1:]),
        assertions=("tract_assert S >= 1", "tract_assert S <= 60"),
    )


def _detector(model: str, config: Mapping[str, Any]) -> ModelCase:
    def inputs(B: int) -> dict[str, torch.Tensor]:  # noqa: N803  (a symbol)
        return {"pixel_values": torch.randn(B, 3, 64, 64)}

    return case(model, config, inputs, {"pixel_values": {0: "B"}}, {"B": 2}, ({"B": 1}, {"B": 3}))


VISION = [
    *(_one_size(model, config) for model, config in _ONE_SIZE.items()),
    *(_any_size(model, config) for model, config in _ANY_SIZE.items()),
    *(text_case(model, config) for model, config in _TEXTS.items()),
    *(_pair(model, config) for model, config in _PAIRS.items()),
    *(_detector(model, config) for model, config in _DETECTORS.items()),
]
