"""Models of transformers at tiny configurations, and those among them that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from models.cases import ModelCase
from models.transformers_audio import AUDIO
from models.transformers_decoders import DECODERS, ENCODER_DECODERS
from models.transformers_text import TEXT
from models.transformers_vision import VISION

__all__ = ["CASES", "REFUSED"]

_TWO_TEXTS = ({"B": 2, "S": 16, "T": 6}, {"B": 1, "S": 8, "T": 2}, {"B": 3, "S": 20, "T": 16})

_ALL: tuple[ModelCase, ...] = (*TEXT, *DECODERS, *ENCODER_DECODERS, *VISION, *AUDIO)

#: Models with another way for sizes that are no whole blocks: what is promised, and sizes.
_WHOLE_BLOCKS: Mapping[str, tuple[str, tuple[Mapping[str, int], ...]]] = {
    "MobileNetV2Model": ("32*(H/32) == H, 32*(W/32) == W", ()),
    "LongT5Model": ("4*(S/4) == S, S >= 8", _TWO_TEXTS),
    "PegasusXModel": ("4*(S/4) == S", _TWO_TEXTS),
    "Mamba2Model": ("4*(S/4) == S", ({"B": 2, "S": 16}, {"B": 1, "S": 4}, {"B": 3, "S": 20})),
}


def _in_whole_blocks(case: ModelCase) -> ModelCase:
    promises, sizes = _WHOLE_BLOCKS[case.name]
    traced, *others = sizes or (case.traced, *case.sizes)
    return replace(
        case,
        name=f"{case.name}, whole blocks",
        assertions=(*case.assertions, *(f"tract_assert {p}" for p in promises.split(", "))),
        traced=traced,
        sizes=tuple(others),
    )


CASES: tuple[ModelCase, ...] = (
    *_ALL,
    *(_in_whole_blocks(case) for case in _ALL if case.name in _WHOLE_BLOCKS),
)

#: A part of the message that says why.
REFUSED: Mapping[str, str] = {
    # Loops over tokens or positions, in Python.
    "FunnelModel": "can't stay symbolic",
    "FunnelBaseModel": "can't stay symbolic",
    "MambaModel": "can't stay symbolic",
    "FalconMambaModel": "can't stay symbolic",
    "RwkvModel": "can't stay symbolic",
    "RecurrentGemmaModel": "can't stay symbolic",
    "CanineModel": "can't stay symbolic",
    # Sizes that depend on data.
    "JetMoeModel": "known only while running",
    "LongformerModel": "data-dependent expression",
    "LEDModel": "data-dependent expression",
    # Padding to whole blocks, by a branch.
    "MobileNetV2Model": "runs other code",
    "Mamba2Model": "runs other code",
    "PegasusXModel": "runs other code",
    # A tensor of bfloat16.
    "FalconModel, with ALiBi": "no element type for torch.bfloat16",
    # A loop over images; sizes found by tensors.
    "SuperPointForKeypointDetection": "can't stay symbolic",
    "ViltModel": "data-dependent expression",
    # A squeeze of the batch, a pool of 320 pixels, weights that forward replaces.
    "MraModel": "aten.squeeze.default",
    "EfficientNetModel": "aten.reshape.default",
    "SwitchTransformersModel": "Couldn't swap",
}
