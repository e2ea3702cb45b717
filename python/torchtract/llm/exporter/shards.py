"""Weights that stay in their safetensors files until they are written, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.initialization import no_init_weights

from torchtract.errors import CaptureError
from torchtract.llm.exporter.source import class_of, read_config, read_index

__all__ = ["Load", "Shard", "model_without_weights", "shown"]

Load: TypeAlias = Callable[[], np.ndarray]

_FLOATS = ("F32", "F16", "BF16")
_ONE = "model.safetensors"


class _OtherTensorsError(Exception):
    """The files don't hold the model's tensors as they are."""


@dataclass(frozen=True)
class Shard:
    """A weight in a file.

    Attributes:
        file: the safetensors file.
        name: of the tensor in it.
        dtype: that it is wanted in.
    """

    file: Path
    name: str
    dtype: torch.dtype

    def __call__(self) -> np.ndarray:
        """Its values, read now. The file is closed again, and with it the memory it is mapped to.

        Raises:
            CaptureError: the file is cut or changed.
        """
        try:
            with safe_open(self.file, framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(self.name)
                return tensor.to(self.dtype).contiguous().numpy()
        except (OSError, SafetensorError) as error:
            raise CaptureError(f"{self.file}: {self.name} can't be read: {error}") from error

    def check(self, shape: tuple[int, ...]) -> None:
        """Look into the file's head.

        Raises:
            _OtherTensorsError: it has other sizes there, or no type of its own values.
        """
        with safe_open(self.file, framework="pt") as file:
            stored = file.get_slice(self.name)
            if tuple(stored.get_shape()) != shape or stored.get_dtype() not in _FLOATS:
                raise _OtherTensorsError


def model_without_weights(
    source: PreTrainedModel | str | PathLike[str],
    dtype: torch.dtype | None,
    trust_remote_code: bool,
) -> tuple[PreTrainedModel, dict[str, Load]] | None:
    """A model whose weights take no memory, and what gives each of them.

    Returns:
        None where `source` is no folder, or its files hold anything else than the model's
        parameters as they are: fused ones, those of an older version, quantised ones, buffers.

    Raises:
        CaptureError: the folder's files can't be read.
    """
    if isinstance(source, PreTrainedModel) or not Path(source).is_dir():
        return None
    folder = Path(source)
    try:
        files = _files(folder)
        config = read_config(str(folder), trust_remote_code)
        # Memory that is never written to is none: PyTorch asks for it and leaves it as it is.
        if getattr(config, "quantization_config", None) is not None:
            return None
        dtype = dtype or torch.float32
        with no_init_weights():
            model = class_of(config).from_config(
                config, dtype=dtype, trust_remote_code=trust_remote_code
            )
        model.tie_weights()
        return model, _loads(model, files, dtype)
    except (_OtherTensorsError, KeyError, OSError, ValueError, SafetensorError):
        return None  # what is wrong is told by transformers, when it reads all of it


def _files(folder: Path) -> dict[str, Path]:
    """The file of each tensor, by name."""
    if (files := read_index(folder)) is not None:
        return files
    with safe_open(folder / _ONE, framework="pt") as file:
        return dict.fromkeys(file.keys(), folder / _ONE)


def _loads(
    model: PreTrainedModel, files: Mapping[str, Path], dtype: torch.dtype
) -> dict[str, Load]:
    """What gives each parameter, by name; those that share a tensor have one file."""
    found: dict[int, Shard] = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, weight in parameters.items():
        file_name = name if name in files else name.removeprefix(f"{model.base_model_prefix}.")
        if file_name in files:
            # Two that the model has as one may differ, and transformers would keep both.
            if id(weight) in found:
                raise _OtherTensorsError
            found[id(weight)] = Shard(files[file_name], file_name, dtype)
            found[id(weight)].check(tuple(weight.shape))
    others = model.state_dict().keys() - parameters.keys()
    if others or len(found) != len(files) or any(id(w) not in found for w in parameters.values()):
        raise _OtherTensorsError
    return {name: found[id(weight)] for name, weight in parameters.items()}


@contextmanager
def shown(module: torch.nn.Module, loads: Mapping[str, Load]) -> Iterator[dict[str, Load]]:
    """On a terminal, a bar that tells how much is read and how fast.

    Args:
        module: whose weights they are.
        loads: what gives each of them, by name.

    Yields:
        The same, which move the bar.
    """
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(
        "Writing weights",
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    total = sum(weight.nbytes for name, weight in module.named_parameters() if name in loads)
    with bar:
        task = bar.add_task("", total=total)

        def moving(load: Load) -> Load:
            def loaded() -> np.ndarray:
                array = load()
                bar.advance(task, array.nbytes)
                return array

            return loaded

        yield {name: moving(load) for name, load in loads.items()}
