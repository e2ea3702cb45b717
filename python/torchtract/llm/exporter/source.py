"""Where a model to export comes from: an object, a folder, or a name in Hugging Face's cache."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)

from torchtract.errors import CaptureError

__all__ = [
    "DTYPES",
    "check_source",
    "class_of",
    "evaluated",
    "read_config",
    "read_index",
    "read_model",
]

DTYPES = (torch.float32, torch.float16)
"""What a model's weights and activations can be."""

_CONFIG, _INDEX = "config.json", "model.safetensors.index.json"


def check_source(source: object) -> None:
    """Refuse what can be no language model, before anything else is done.

    Args:
        source: a model of transformers, a folder, or a name in Hugging Face's cache.

    Raises:
        CaptureError: it is none of these, there is no such folder or name, or it has no
            configuration, or a broken index of its tensors.
    """
    if isinstance(source, PreTrainedModel):
        if not source.can_generate():
            raise CaptureError(
                f"model={type(source).__name__}: can't be exported as a language model, since it "
                "generates no text; give a class that does, such as one of AutoModelForCausalLM, "
                "or export it by export_model_to_nnef."
            )
        return
    if not isinstance(source, (str, os.PathLike)):
        raise CaptureError(
            f"model={type(source).__name__}: can't be exported as a language model, since it is "
            "no model of transformers or peft, folder or name; export any other module by "
            "export_model_to_nnef."
        )
    folder = Path(where := str(os.fspath(source)))
    if folder.is_dir():
        if not (folder / _CONFIG).is_file():
            raise CaptureError(
                f"{where}: can't be read as a language model, since it has no {_CONFIG}; give a "
                "folder in the format of Hugging Face, as model.save_pretrained writes it."
            )
        read_index(folder)
    elif folder.is_absolute() or where.startswith("."):
        raise CaptureError(f"{where}: there is no such folder; give that of a model.")
    elif not _is_cached(where):
        raise CaptureError(
            f"{where}: there is no such folder, nor has Hugging Face's cache a model of that name; "
            "give the folder of one, since nothing is downloaded."
        )


def _is_cached(name: str) -> bool:
    try:
        return isinstance(try_to_load_from_cache(name, _CONFIG), str)
    except ValueError:  # it can't be a name there
        return False


def read_index(folder: Path) -> dict[str, Path] | None:
    """The file of each tensor by its name, None where all are in one file.

    Raises:
        CaptureError: the index is broken.
    """
    path = folder / _INDEX
    if not path.exists():
        return None
    try:
        files = json.loads(path.read_text("utf-8"))["weight_map"]
        return {str(name): folder / file for name, file in files.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CaptureError(
            f"{path}: can't be read, since it has no weight_map, which tells the file of each "
            "tensor; copy it again."
        ) from error


def read_config(where: str, trust_remote_code: bool) -> PretrainedConfig:
    """A model's configuration. Nothing is downloaded.

    Raises:
        CaptureError: there is none of a model that transformers knows.
    """
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            where, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:
        raise _unreadable(where, error) from error
    return config


def read_model(
    source: PreTrainedModel | str | PathLike[str],
    dtype: torch.dtype | None,
    trust_remote_code: bool,
) -> PreTrainedModel:
    """The model. Nothing is downloaded.

    Args:
        source: a model of transformers, a folder in the format of Hugging Face, or a name there
            of which the files are in the cache.
        dtype: of its weights; None leaves those of an object as they are and reads float32. An
            object of another dtype is copied.
        trust_remote_code: whether Python code in the folder may run.

    Raises:
        CaptureError: there is no such model, it is no language model, or tensors of it are missing.
    """
    if isinstance(source, PreTrainedModel):
        if dtype is None and source.dtype not in DTYPES:
            raise CaptureError(
                f"model: is of {source.dtype}, which tract does not compute in; give "
                "dtype=torch.float32 or torch.float16."
            )
        if dtype in (None, source.dtype):
            return source
        return cast(PreTrainedModel, copy.deepcopy(source).to(dtype))  # type: ignore[arg-type]
    where = os.fspath(source)
    config = read_config(where, trust_remote_code)
    model: PreTrainedModel
    told: dict[str, Any]
    try:
        model, told = class_of(config).from_pretrained(
            where,
            config=config,
            dtype=dtype or torch.float32,
            ignore_mismatched_sizes=True,  # they are told below, by name
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
        )
    except Exception as error:
        raise _unreadable(where, error) from error
    _check_complete(where, told)
    return model


def _check_complete(where: str, told: dict[str, Any]) -> None:
    """Refuse a model of which the files hold less, or more."""
    lacking = {*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])}
    if lacking:
        raise CaptureError(
            f"{where}: {len(lacking)} tensors of the model are missing in its files or have other "
            f"shapes there, such as {min(lacking)}; is it complete, and does config.json belong to "
            "it?"
        )
    # Those that a model is known to do without, transformers has left out.
    if unexpected := sorted(told["unexpected_keys"]):
        raise CaptureError(
            f"{where}: its files hold {len(unexpected)} tensors that the model of config.json does "
            f"not have, such as {', '.join(unexpected[:3])}; does config.json belong to it? If "
            "they are to be left out, read the model by transformers and give that."
        )


def _unreadable(where: str, error: Exception) -> CaptureError:
    broken = _broken_file(Path(where)) if isinstance(error, SafetensorError) else None
    told = f"{broken or where}: can't be read as a language model: {_first_lines(error)}"
    return CaptureError(f"{told}; copy it again." if broken else told)


def _broken_file(folder: Path) -> Path | None:
    return next(filter(_is_broken, sorted(folder.glob("*.safetensors"))), None)


def _is_broken(file: Path) -> bool:
    try:
        with safe_open(file, framework="pt"):
            return False
    except SafetensorError:
        return True


def class_of(config: PretrainedConfig) -> Any:
    """What reads a model that generates text, by its configuration."""
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


@contextmanager
def evaluated(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and each module's mode before again."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _first_lines(error: Exception) -> str:
    """What went wrong, without the tables that transformers prints."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__
