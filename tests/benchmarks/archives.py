"""The ViT in files: what loading and running is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.exporters import OURS, TORCH_TO_NNEF, export
from benchmarks.models import images

__all__ = ["Archives"]


@dataclass(frozen=True)
class Archives:
    """Paths of the ViT, its batch size free, as NNEF by ours and by torch-to-nnef, and as ONNX."""

    torchtract: Path
    torch_to_nnef: Path
    onnx: Path

    @classmethod
    def write(cls, vit: torch.nn.Module, folder: Path) -> Archives:
        """Export all of them to a folder."""
        made = cls(
            folder / "torchtract.nnef.tgz", folder / "torch_to_nnef.nnef.tgz", folder / "vit.onnx"
        )
        export(OURS, made.torchtract)
        export(TORCH_TO_NNEF, made.torch_to_nnef)
        torch.onnx.export(
            vit,
            (images(2),),  # with one image, 1 would become a constant
            made.onnx,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("B")},),
            verbose=False,
        )
        return made
