"""Another LoRA adapter for a model that was exported with one beside its weights."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (gives numpy bfloat16, in which adapters may be)
import numpy as np

from torchtract.errors import FormatError, LoadError
from torchtract.nnef import Variable, read_tensor, reported, staged, write_tensor

__all__ = ["swap_adapter"]

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."


def swap_adapter(
    model: str | PathLike[str], adapter: str | PathLike[str], path: str | PathLike[str]
) -> Path:
    """Writes a model with another adapter. Needs safetensors, not torch.

    Args:
        model: a `.nnef.tar`, as `torchtract.llm.export(..., merge_adapter=False)` writes it.
        adapter: a folder of peft with a LoRA adapter of the same rank, for the same layers.
        path: of the new `.nnef.tar`. It may be that of the model.

    Returns:
        The path that was written.

    Raises:
        LoadError: the model has no adapter of its own, or this one is none of LoRA, is broken, or
            is for other layers or of another rank.
        FormatError: the path can't be written.
    """
    path = Path(path)
    if path.suffix != ".tar":
        raise FormatError(f"{str(path)!r}: can't be written, since this is a .nnef.tar; end it so.")
    weights = _weights(Path(adapter))
    with _opened(Path(model)) as old, staged(path) as unfinished:
        names = {f"{name}.dat" for name in weights}
        theirs = {m.name for m in old if ".lora_" in m.name}
        if theirs != names:
            raise LoadError(
                f"{adapter}: is for other layers than the adapter of {model}, such as "
                f"{min(theirs ^ names)}; "
                + ("export with merge_adapter=False first." if not theirs else "train it for them.")
            )
        with reported(path), tarfile.open(unfinished, "w", format=tarfile.GNU_FORMAT) as new:
            for member in old:
                content = old.extractfile(member)
                assert content is not None
                if member.name in names:
                    label = member.name.removesuffix(".dat")
                    content = _replaced(label, content.read(), weights[label])
                new.addfile(member, content)
    return path


@contextmanager
def _opened(model: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(model, "r:") as archive:
            yield archive
    except (OSError, tarfile.TarError) as error:
        raise LoadError(f"{model}: no .nnef.tar can be read from it: {error}") from error


def _replaced(label: str, content: bytes, new: np.ndarray) -> io.BytesIO:
    old = read_tensor(io.BytesIO(content))
    if old.shape != new.shape:
        raise LoadError(
            f"{label}: is {list(new.shape)} in the adapter and {list(old.shape)} in the model; "
            "adapters of one rank can be swapped."
        )
    kind = {"float32": "f32", "float16": "f16"}[old.dtype.name]
    stream = io.BytesIO()
    write_tensor(stream, Variable(label, kind, old.shape, lambda: new.astype(old.dtype)))
    stream.seek(0)
    return stream


def _weights(adapter: Path) -> dict[str, np.ndarray]:
    """The adapter's matrices by their labels in a model, the second ones times its factor."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise LoadError(
            f"{adapter}: safetensors is needed to read it: pip install 'torchtract[llm]'."
        ) from error
    try:
        config = json.loads((adapter / _CONFIG).read_text("utf-8"))
        tensors = {k: x.astype(np.float32) for k, x in load_file(adapter / _WEIGHTS).items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise LoadError(f"{adapter}: no adapter of peft can be read from it: {error}") from error
    factor = _factor(adapter, config)
    labels = {name: _label(name) for name in tensors}
    return {
        labels[name]: tensor * np.float32(factor) if ".lora_B." in name else tensor
        for name, tensor in tensors.items()
    }


def _label(name: str) -> str:
    """`base_model.model.x.lora_A.weight` is `model.x.lora_A.default.weight` in a model."""
    path, _, kind = name.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
    return f"model.{path}.{kind}.default.weight"


def _factor(adapter: Path, config: Any) -> float:
    if not isinstance(config, dict):
        raise LoadError(f"{adapter / _CONFIG}: holds no object")
    odd = ("use_dora", "lora_bias", "rank_pattern", "alpha_pattern", "modules_to_save")
    unlike = [key for key in odd if config.get(key)]
    if config.get("peft_type") != "LORA" or unlike:
        told = unlike or [f"peft_type {config.get('peft_type')!r}"]
        raise LoadError(f"{adapter}: has {', '.join(told)}; plain LoRA adapters can be swapped.")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not (isinstance(rank, int) and rank > 0 and isinstance(alpha, (int, float))):
        raise LoadError(f"{adapter / _CONFIG}: r={rank!r}, lora_alpha={alpha!r}: are no numbers")
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)
