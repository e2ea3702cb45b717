"""What stands beside a model in its folder, as Hugging Face names it: how text becomes tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from transformers import PreTrainedModel

from torchtract.errors import FormatError
from torchtract.llm.folder import ENCODER_NAMES, MODEL_NAMES

__all__ = ["ENCODER_NAME", "MODEL_NAME", "texts_of", "write_texts"]

MODEL_NAME, ENCODER_NAME = MODEL_NAMES[0], ENCODER_NAMES[0]

_TOKENIZER = "tokenizer.json"
_BESIDES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)


def texts_of(
    model: PreTrainedModel | str | PathLike[str], tokenizer: str | PathLike[str] | None
) -> dict[str, bytes]:
    """The tokenizer's files by name, of its folder or the model's; none of a bare object.

    Raises:
        FormatError: the folder has no tokenizer.json.
    """
    if tokenizer is None:
        if isinstance(model, PreTrainedModel):
            return {}
        tokenizer = model
    folder = Path(os.fspath(tokenizer))
    if not (folder / _TOKENIZER).is_file():
        return _saved_by_transformers(os.fspath(tokenizer))
    return _read(folder)


def _read(folder: Path) -> dict[str, bytes]:
    found = [file for name in (_TOKENIZER, *_BESIDES) for file in sorted(folder.glob(name))]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def _saved_by_transformers(where: str) -> dict[str, bytes]:
    """Of a name in the cache, or a folder with a tokenizer in an older format."""
    import tempfile

    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as saved:
        try:
            AutoTokenizer.from_pretrained(where, local_files_only=True).save_pretrained(saved)
        except Exception as error:
            reason = "there is no such folder, nor has Hugging Face's cache anything of that name"
            if Path(where).is_dir():
                reason = "the folder has none that transformers knows"
            raise FormatError(
                f"{where}: no tokenizer can be read: {reason}; give the folder of one that has "
                "tokenizer.json as tokenizer, or a path that ends in .nnef.tgz for the model alone."
            ) from error
        if not (Path(saved) / _TOKENIZER).is_file():
            raise FormatError(
                f"{where}: transformers can't write its tokenizer as tokenizer.json; give the "
                "folder of one that has it as tokenizer, or a path that ends in .nnef.tgz for the "
                "model alone."
            )
        return _read(Path(saved))


def write_texts(folder: Path, texts: Mapping[str, bytes], model: PreTrainedModel) -> None:
    """Write the tokenizer's files and the model's settings."""
    folder.mkdir()
    for name, content in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folder / "config.json").write_text(model.config.to_json_string(), "utf-8")
    if model.generation_config is not None:
        text = model.generation_config.to_json_string()
        (folder / "generation_config.json").write_text(text, "utf-8")
