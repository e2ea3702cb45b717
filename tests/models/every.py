"""All models by name, and those among them that are refused."""

from __future__ import annotations

from collections.abc import Mapping

from models import torchaudio_models, torchvision_models, transformers_models
from models.cases import ModelCase

__all__ = ["CASES", "LIBRARIES", "QUICK", "REFUSED"]

_TABLES = (torchvision_models, torchaudio_models, transformers_models)

#: The models of each library.
LIBRARIES: Mapping[str, tuple[ModelCase, ...]] = {
    table.__name__.split(".")[-1].removesuffix("_models"): table.CASES for table in _TABLES
}

CASES: Mapping[str, ModelCase] = {case.name: case for t in _TABLES for case in t.CASES}

#: A part of the message that says why.
REFUSED: Mapping[str, str] = {name: why for t in _TABLES for name, why in t.REFUSED.items()}

#: Those that a default run of the tests tries: a few kinds, small ones.
QUICK = frozenset(
    {
        *(
            "resnet18",
            "mobilenet_v3_small",
            "squeezenet1_1",
            "vit_b_32",
            "lraspp_mobilenet_v3_large",
        ),
        *("BertModel", "LlamaModel", "BartModel", "ViTModel", "Wav2Vec2Model"),
        *("DeepSpeech", "WaveRNN", "transforms.MelSpectrogram(n_mels=64)"),
    }
)
