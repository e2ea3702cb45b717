"""The exporters that are tried on PyTorch's samples: ours, and the peer beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

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
    from torch_to_nnef import TractNNEF, export_model_to_nnef

    from benchmarks.exporters import tract_that_only_tells_its_version

    with tempfile.TemporaryDirectory() as folder:
        target = TractNNEF(
            version="0.23.8",  # the newest that it knows
            specific_tract_binary_path=tract_that_only_tells_its_version(Path(folder)),
            check_io=False,
        )
        export_model_to_nnef(
            model=module,
            args=tensors,
            file_path_export=path,
            inference_target=target,
            input_names=_names(tensors),
        )


EXPORTERS: dict[str, Export] = {"torchtract": torchtract, "torch-to-nnef": torch_to_nnef}
