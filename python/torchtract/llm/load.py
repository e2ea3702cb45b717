"""Loading a language model from its folder or its file."""

from __future__ import annotations

import os
from pathlib import Path

from torchtract.errors import LoadError
from torchtract.llm.causal import CausalModel
from torchtract.llm.encoder_decoder import EncoderDecoder
from torchtract.llm.folder import (
    find_model,
    is_language_model_folder,
    read_chat_template,
    read_settings,
    read_tokenizer,
)
from torchtract.llm.language_model import LanguageModel
from torchtract.llm.settings import Settings
from torchtract.runtime import load as load_model

__all__ = ["load"]


def load(
    path: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | None = None,
    *,
    threads: int = 1,
    prompt_cache: int = 2,
    prompt_chunk: int = 512,
) -> LanguageModel:
    """Loads a language model. Needs tokenizers and jinja2 (``torchtract[llm]``), not torch.

    Args:
        path: what `torchtract.llm.export` wrote: a folder with the model and its tokenizer, or the
            model's file alone, that of a decoder with its encoder's beside it.
        tokenizer: a folder with the tokenizer, or its tokenizer.json, in place of the model's.
            Without any, token ids go in and come out.
        threads: how many threads share the work of a token.
        prompt_cache: how many texts are remembered, see `LanguageModel`.
        prompt_chunk: how many tokens of a prompt are read in one go.

    Raises:
        LoadError: there is no model or no tokenizer, one of them is broken or another model's, or
            a package is not installed.
        EngineError: tract can't compile the model, or there can't be so many threads.
        GenerationError: `prompt_cache` or `prompt_chunk` can't be.
    """
    path = Path(path)
    folder = path if is_language_model_folder(path) else None
    texts = folder if tokenizer is None else _folder_of_tokenizer(Path(tokenizer))
    origin = folder or texts
    found = find_model(path)
    read = read_tokenizer(texts) if texts else None
    return LanguageModel(
        _in_engine(found, threads),
        read,
        chat_template=read_chat_template(texts) if texts else None,
        settings=read_settings(origin) if origin else Settings(),
        prompt_cache=prompt_cache,
        prompt_chunk=prompt_chunk,
    )


def _folder_of_tokenizer(path: Path) -> Path:
    folder = path.parent if path.name == "tokenizer.json" and path.is_file() else path
    if not folder.is_dir():
        what = "it is a file" if path.exists() else "there is no such folder"
        raise LoadError(
            f"{path}: no tokenizer can be read from it, since {what}; give the folder with "
            "tokenizer.json."
        )
    return folder


def _in_engine(path: Path, threads: int) -> CausalModel | EncoderDecoder:
    model = load_model(path).causal(threads=threads)
    return EncoderDecoder.load(path, model) if model.context else model
