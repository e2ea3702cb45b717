"""The files beside a model, as Hugging Face names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchtract.errors import LoadError
from torchtract.llm.chat import ChatTemplate
from torchtract.llm.settings import Settings, eos_token_ids
from torchtract.llm.tokenizer import FolderTokenizer

__all__ = [
    "ENCODER_NAMES",
    "MODEL_NAMES",
    "find_encoder",
    "find_model",
    "is_language_model_folder",
    "read_chat_template",
    "read_settings",
    "read_tokenizer",
]

MODEL_NAMES = ("model.nnef.tar", "model.nnef.tgz")
ENCODER_NAMES = ("encoder.nnef.tar", "encoder.nnef.tgz")
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def is_language_model_folder(path: Path) -> bool:
    """Whether it is no model itself: neither a file nor an archive that was taken apart."""
    return path.is_dir() and not (path / "graph.nnef").exists()


def find_model(folder: Path) -> Path:
    """The model in a folder, or the path itself where it is no such folder.

    Raises:
        LoadError: there is none.
    """
    if not is_language_model_folder(folder):
        return folder
    for name in MODEL_NAMES:
        if (folder / name).exists():
            return folder / name
    raise LoadError(
        f"{folder}: it has no {' or '.join(MODEL_NAMES)}; torchtract.llm.export writes one."
    )


def find_encoder(model: Path) -> Path:
    """What reads the text that a decoder answers, beside its file.

    Raises:
        LoadError: there is none.
    """
    for name in ENCODER_NAMES:
        if (found := model.with_name(name)).exists():
            return found
    raise LoadError(
        f"{model}: it is a decoder, and there is no {' or '.join(ENCODER_NAMES)} beside it; "
        "torchtract.llm.export writes both into a folder."
    )


def read_tokenizer(folder: Path) -> FolderTokenizer:
    """The tokenizer.

    Raises:
        LoadError: there is none or a broken one, or tokenizers is not installed.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        raise LoadError(
            f"{folder}: it has no tokenizer.json; tokenizer.save_pretrained(folder) of "
            "transformers writes one, and a model's file itself, such as "
            f"{folder / MODEL_NAMES[0]}, is loaded without one or with tokenizer=FOLDER."
        )
    return FolderTokenizer(path)


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """The chat template, None where there is none.

    Raises:
        LoadError: a file is broken.
    """
    templates = _templates_of_config(folder)
    if (file := folder / "chat_template.jinja").exists():
        templates["default"] = _text(file)
        for more in sorted((folder / "additional_chat_templates").glob("*.jinja")):
            templates[more.stem] = _text(more)
    return ChatTemplate(templates, special_tokens(folder), str(folder)) if templates else None


def read_settings(folder: Path) -> Settings:
    """How the model generates where a call does not say.

    Raises:
        LoadError: a file is broken, or asks for what generation here does not do.
    """
    path = folder / "generation_config.json"
    settings = Settings.of(_read(folder, path.name), str(path))
    if settings.eos_token_ids is None:
        config = _read(folder, "config.json")
        text = config.get("text_config") or {}
        if not isinstance(text, dict):
            raise LoadError(f"{folder}/config.json: text_config={text!r}: an object is needed")
        found = config.get("eos_token_id", text.get("eos_token_id"))
        settings = replace(settings, eos_token_ids=eos_token_ids(found, f"{folder}/config.json"))
    return settings


def special_tokens(folder: Path) -> dict[str, str]:
    """Tokens with a role, by its name, such as ``bos_token``."""
    tokens = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        read = _read(folder, file)
        for name in (f"{role}_token" for role in _ROLES):
            token = read.get(name)
            if isinstance(token, dict):
                token = token.get("content")
            if isinstance(token, str):
                tokens[name] = token
    return tokens


def _templates_of_config(folder: Path) -> dict[str, str]:
    found = _read(folder, "tokenizer_config.json").get("chat_template") or []
    listed = [{"name": "default", "template": found}] if isinstance(found, str) else found
    try:
        return {entry["name"]: str(entry["template"]) for entry in listed}
    except (TypeError, KeyError) as error:
        raise LoadError(
            f"{folder}/tokenizer_config.json: chat_template: a text is needed, or a list of such "
            "with name and template"
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except ValueError as error:
        raise LoadError(f"{path}: no text can be read from it: {error}") from error


def _read(folder: Path, name: str) -> Mapping[str, Any]:
    """What a file of JSON holds, nothing where there is no such file."""
    path = folder / name
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise LoadError(f"{path}: no JSON can be read from it: {error}") from error
    if not isinstance(data, dict):
        raise LoadError(f"{path}: an object is needed, as Hugging Face writes it")
    return data
