"""Models of transformers at tiny configurations, and those among them that are refused."""

from __future__ import annotations

from collections.abc import Mapping

from models.cases import ModelCase
from models.transformers_audio import AUDIO
from models.transformers_decoders import DECODERS, ENCODER_DECODERS
from models.transformers_text import TEXT
from models.transformers_vision import VISION

__all__ = ["CASES", "REFUSED"]

CASES: tuple[ModelCase, ...] = (*TEXT, *DECODERS, *ENCODER_DECODERS, *VISION, *AUDIO)

#: A part of the message that says why.
REFUSED: Mapping[str, str] = {
    # Loops over tokens or positions, in Python.
    "FunnelModel": "can't stay symbolic",
    "FunnelBaseModel": "can't stay symbolic",
    "MambaModel": "can't stay symbolic",
    "FalconMambaModel": "can't stay symbolic",
    "RwkvModel": "can't stay symbolic",
    "RecurrentGemmaModel": "can't stay symbolic",
    # Sizes turned to numbers, by int() and the like.
    "CanineModel": "can't stay symbolic",
    "MobileNetV2Model": "can't stay symbolic",
    # Sizes that depend on data.
    "JetMoeModel": "known only while running",
    "LongformerModel": "data-dependent expression",
    "LEDModel": "data-dependent expression",
    # Padding to whole blocks, by a branch.
    "Mamba2Model": "runs other code",
    "LongT5Model": "runs other code",
    "PegasusXModel": "runs other code",
    "SEWModel": "runs other code",
    "SEWDModel": "runs other code",
    # Paddings by reflection whose width depends on the size; a tensor of bfloat16.
    "Swin2SRModel": "not a fixed number",
    "FalconModel, with ALiBi": "no element type for torch.bfloat16",
    # A loop over images; sizes found by tensors.
    "SuperPointForKeypointDetection": "can't stay symbolic",
    "EncodecModel": "data-dependent expression",
    "MimiModel": "data-dependent expression",
    "ViltModel": "data-dependent expression",
    # A squeeze of the batch, a pool of 320 pixels, weights that forward replaces.
    "MraModel": "aten.squeeze.default",
    "EfficientNetModel": "aten.reshape.default",
    "SwitchTransformersModel": "Couldn't swap",
}
