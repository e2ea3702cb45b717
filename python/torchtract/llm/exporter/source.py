"""Where a model to export comes from: an object, a folder, or a name in Hugging Face's cache."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)

from torchtract.errors import CaptureError

__all__ = ["DTYPES", "class_of", "evaluated", "read_model"]

DTYPES = (torch.float32, torch.float16)
"""What a model's weights and activations can be."""


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
    if (Path(where).is_absolute() or where.startswith(".")) and not Path(where).is_dir():
        raise CaptureError(f"{where}: there is no such folder.")
    model: PreTrainedModel
    told: dict[str, Any]
    try:
        config = AutoConfig.from_pretrained(
            where, local_files_only=True, trust_remote_code=trust_remote_code
        )
        model, told = class_of(config).from_pretrained(
            where,
            dtype=dtype or torch.float32,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
        )
    except Exception as error:
        raise CaptureError(
            f"{where}: can't be read as a language model: {_first_lines(error)}"
        ) from error
    lacking = {*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])}
    if lacking:
        raise CaptureError(
            f"{where}: {len(lacking)} tensors of the model are missing in its files or have other "
            f"shapes there, such as {min(lacking)}; is it complete, and does config.json belong to "
            "it?"
        )
    return model


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
