"""The models that are measured, and their inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.models import vit_b_16

__all__ = ["Sample", "images", "sample", "seeded_vit"]


@dataclass(frozen=True)
class Sample:
    """A model with what it is exported with.

    Attributes:
        model: in evaluation mode, with one input and one output.
        input: an example of its input.
        axes: the symbols of the input's axes.
    """

    model: torch.nn.Module
    input: torch.Tensor
    axes: dict[int, str]


def sample(name: str) -> Sample:
    """`vit`, or `encoder-N`: N layers of a transformer whose batch and length are free."""
    if name == "vit":
        return Sample(seeded_vit(), images(1), {0: "B"})
    layers = int(name.removeprefix("encoder-"))
    return Sample(_seeded_encoder(layers), torch.rand(2, 20, 256), {0: "B", 1: "S"})


def seeded_vit() -> torch.nn.Module:
    """torchvision's ViT-B/16 with random weights. Its head starts as zeros: initialise it too."""
    torch.manual_seed(0)
    vit = vit_b_16()
    torch.nn.init.normal_(vit.heads.head.weight, std=0.02)
    model: torch.nn.Module = vit.eval()
    return model


def _seeded_encoder(layers: int) -> torch.nn.Module:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    return torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).eval()


def images(batch: int) -> torch.Tensor:
    """Noise: [batch, 3, 224, 224], float32."""
    return torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
