"""Folders with a model and a tokenizer as Hugging Face has them, to export and to spoil."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedModel

__all__ = ["change_config", "change_file", "write_source"]


def write_source(model: PreTrainedModel, path: Path) -> Path:
    """Write a model with a tokenizer of two tokens."""
    model.save_pretrained(path)
    Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    return path


def change_file(folder: Path, **tensors: torch.Tensor) -> None:
    """Give the file of weights other tensors, or some beside."""
    file = folder / "model.safetensors"
    save_file(load_file(file) | tensors, file, {"format": "pt"})


def change_config(folder: Path, **settings: Any) -> None:
    """Give config.json other settings, or some beside."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
