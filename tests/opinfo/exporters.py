"""The exporters that are tried on PyTorch's samples: ours, and the peer beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.exporters import target_of_torch_to_nnef
from opinfo.verdict import Export

__all__ = ["EXPORTERS"]


def _names(tensors: tuple[torch.Tensor, ...]) -> list[str]:
    return [f"x{i}" for i in range(len(tensors))]


def torchtract(module: torch.nn.Module, tensors: tuple[torch.Tensor, ...], path: Path) -> None:
    from torchtract import TractNNEF, export_model_to_nnef

    export_model_to_nnef(
        module, tensors, path, TractNNEF(check_io=False), input_names=_names(tensors)
    )


def torch_to_nnef(module: torch.nn.Module, tensors: tuple[torch.Tensor, ...], path: Path) -> None:
    from torch_to_nnef import export_model_to_nnef

    with tempfile.TemporaryDirectory() as folder:
        export_model_to_nnef(
            model=module,
            args=tensors,
            file_path_export=path,
            inference_target=target_of_torch_to_nnef(Path(folder), {}),
            input_names=_names(tensors),
        )


EXPORTERS: dict[str, Export] = {"torchtract": torchtract, "torch-to-nnef": torch_to_nnef}
