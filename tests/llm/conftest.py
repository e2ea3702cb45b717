"""A tokenizer and folders as Hugging Face writes them, made of the repository's own texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tokenizers import Tokenizer

from llm.texts import CHAT_TEMPLATE, CONFIG, trained_tokenizer, write_language_model
from torchtract.llm.folder import read_tokenizer
from torchtract.llm.tokenizer import FolderTokenizer

#: Writes a folder with a tokenizer; keywords are files, as plain data or text, or None for none.
WriteFolder: TypeAlias = "Callable[..., Path]"


@pytest.fixture(scope="session")
def bpe() -> Tokenizer:
    return trained_tokenizer()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, bpe: Tokenizer) -> Path:
    """A folder with a tiny Llama, its tokenizer and a chat template."""
    folder = tmp_path_factory.mktemp("llm")
    return write_language_model(folder / "lm", bpe, folder / "texts")


@pytest.fixture
def folder(tmp_path: Path, bpe: Tokenizer) -> WriteFolder:
    def write(name: str = "lm", **files: Any) -> Path:
        path = tmp_path / name
        path.mkdir()
        written = {
            "model.nnef.tar": "",
            "tokenizer.json": bpe.to_str(),
            "tokenizer_config.json": CONFIG,
            "chat_template.jinja": CHAT_TEMPLATE,
            **files,
        }
        for file, content in written.items():
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (path / file).write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def tokenizer(folder: WriteFolder) -> FolderTokenizer:
    return read_tokenizer(folder())
