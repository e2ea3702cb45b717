"""The model that is measured, and its inputs."""

from __future__ import annotations

import torch
from torchvision.models import vit_b_16

__all__ = ["images", "seeded_vit"]


def seeded_vit() -> torch.nn.Module:
    """torchvision's ViT-B/16 with random weights. Its head starts as zeros: initialise it too."""
    torch.manual_seed(0)
    vit = vit_b_16()
    torch.nn.init.normal_(vit.heads.head.weight, std=0.02)
    model: torch.nn.Module = vit.eval()
    return model


def images(batch: int) -> torch.Tensor:
    """Noise: [batch, 3, 224, 224], float32."""
    return torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
