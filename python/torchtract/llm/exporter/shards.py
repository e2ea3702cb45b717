"""Weights that stay in their safetensors files until they are written, one at a time."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.initialization import no_init_weights

from torchtract.errors import CaptureError
from torchtract.llm.exporter.source import class_of, read_config, read_index

__all__ = ["Load", "Shard", "model_without_weights", "shown"]

log = logging.getLogger(__name__)

Load: TypeAlias = Callable[[], np.ndarray]

_FLOATS = ("F32", "F16", "BF16")
_ONE = "model.safetensors"


class _OtherTensorsError(Exception):
    """The files don't hold the model's tensors as they are, and why."""


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
                raise _OtherTensorsError(f"{self.name} has another shape or type there")


def model_without_weights(
    source: PreTrainedModel | str | PathLike[str],
    dtype: torch.dtype | None,
    trust_remote_code: bool,
) -> tuple[PreTrainedModel, dict[str, Load]] | None:
    """A model whose weights take no memory, and what gives each of them.

    Returns:
        None where `source` is no folder, or its files hold anything else than the model's tensors
        as they are: experts one by one, quantised ones. That is logged.

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
            raise _OtherTensorsError("they are quantised")
        dtype = dtype or torch.float32
        with no_init_weights():
            model = class_of(config).from_config(
                config, dtype=dtype, trust_remote_code=trust_remote_code
            )
        model.tie_weights()
        return model, _loads(model, files, dtype)
    except _OtherTensorsError as error:
        log.warning(
            "%s: all weights are read at once, which takes memory for the whole model, since %s.",
            *(folder, error),
        )
    except (KeyError, OSError, ValueError, SafetensorError):
        pass  # what is wrong is told by transformers, when it reads all of it
    return None


def _files(folder: Path) -> dict[str, Path]:
    """The file of each tensor, by name."""
    if (files := read_index(folder)) is not None:
        return files
    if not (folder / _ONE).exists():
        raise _OtherTensorsError(f"there is no {_ONE}")
    with safe_open(folder / _ONE, framework="pt") as file:
        return dict.fromkeys(file.keys(), folder / _ONE)


def _loads(
    model: PreTrainedModel, files: Mapping[str, Path], dtype: torch.dtype
) -> dict[str, Load]:
    """What gives each parameter, by name; those that share a tensor have one file.

    What is small, buffers and tables that are computed, the model holds itself.
    """
    names = _names(model, files)
    tensors = model.state_dict(keep_vars=True)
    found: dict[int, Shard] = {}
    for name, file_name in names.items():
        shard = Shard(files[file_name], file_name, dtype)
        shard.check(tuple(tensors[name].shape))
        # Two that the model has as one may differ, and transformers would keep both.
        if id(tensors[name]) in found:
            raise _OtherTensorsError(f"{file_name} may differ from what it is tied to")
        found[id(tensors[name])] = shard
    for name, tensor in tensors.items():
        if id(tensor) not in found:
            _compute(model, name)
        elif not isinstance(tensor, torch.nn.Parameter):
            tensor.copy_(torch.from_numpy(found.pop(id(tensor))()))
    return {name: found[id(tensor)] for name, tensor in tensors.items() if id(tensor) in found}


def _names(model: PreTrainedModel, files: Mapping[str, Path]) -> dict[str, str]:
    """By the name of a tensor in the model, that in the files."""
    mapping = get_model_conversion_mapping(model)
    renamings = [each for each in mapping if isinstance(each, WeightRenaming)]
    converters = [each for each in mapping if isinstance(each, WeightConverter)]
    tensors = model.state_dict()
    unused = _pattern([*(model._keys_to_ignore_on_load_unexpected or ()), r"rotary_emb\.inv_freq"])  # noqa: SLF001
    names: dict[str, str] = {}
    for file_name in sorted(files):
        prefix = model.base_model_prefix
        name, converted = rename_source_key(file_name, renamings, converters, prefix, tensors)
        if converted is not None:
            raise _OtherTensorsError(f"{file_name} is a part of {name}")
        if name in tensors and name not in names:
            names[name] = file_name
        elif not unused.search(file_name):
            raise _OtherTensorsError(f"{file_name} is no tensor of the model")
    return names


def _compute(model: PreTrainedModel, name: str) -> None:
    """Let a model compute a tensor that it needs in no file, such as sinusoids of positions."""
    if not _pattern(model._keys_to_ignore_on_load_missing or ()).search(name):  # noqa: SLF001
        raise _OtherTensorsError(f"{name} is missing")
    with torch.no_grad():
        model._init_weights(model.get_submodule(name.rpartition(".")[0]))  # noqa: SLF001


def _pattern(several: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"({each})" for each in several) or "(?!)")


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
        disable=not loads or not console.is_terminal,
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
