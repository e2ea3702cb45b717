"""What stands beside a model in its folder, as Hugging Face names it: how text becomes tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from os import PathLike
from pathlib import Path

from transformers import PreTrainedModel

from torchtract.errors import FormatError, LoadError
from torchtract.llm.folder import ENCODER_NAMES, MODEL_NAMES, read_chat_template, read_tokenizer

__all__ = ["ENCODER_NAME", "MODEL_NAME", "Texts", "check_vocabulary", "texts_of", "write_texts"]

MODEL_NAME, ENCODER_NAME = MODEL_NAMES[0], ENCODER_NAMES[0]

_TOKENIZER = "tokenizer.json"
_BESIDES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)


_MODEL_ALONE = "or a path that ends in .nnef.tgz for the model alone"


@dataclass(frozen=True)
class Texts:
    """A tokenizer's files.

    Attributes:
        origin: the folder or name that it is of.
        files: by name, none where there is no tokenizer.
        vocab_size: how many tokens it has.
    """

    origin: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    vocab_size: int = 0


def texts_of(
    model: PreTrainedModel | str | PathLike[str], tokenizer: str | PathLike[str] | None
) -> Texts:
    """The tokenizer's files, of its folder or the model's; none of a bare object.

    Raises:
        FormatError: the folder has no tokenizer.json, or a file that can't be loaded again.
    """
    if tokenizer is None:
        if isinstance(model, PreTrainedModel):
            return Texts()
        tokenizer = model
    folder = Path(os.fspath(tokenizer))
    if not (folder / _TOKENIZER).is_file():
        return _saved_by_transformers(os.fspath(tokenizer))
    return _read(folder, str(folder))


def check_vocabulary(texts: Texts, model: PreTrainedModel) -> None:
    """Refuse a tokenizer with tokens that the model does not have.

    Raises:
        FormatError: it has more.
    """
    known = model.config.get_text_config().vocab_size
    if texts.vocab_size > known:
        raise FormatError(
            f"{texts.origin}: its tokenizer has {texts.vocab_size} tokens and the model {known}: "
            f"it is another model's; give the folder of this one as tokenizer, {_MODEL_ALONE}."
        )


def _read(folder: Path, origin: str) -> Texts:
    """The files, which are loaded once as `torchtract.llm.load` loads them."""
    try:
        vocab_size = read_tokenizer(folder).vocab_size
        if find_spec("jinja2"):  # which loading needs, and exporting does not
            read_chat_template(folder)
    except LoadError as error:
        told = str(error).replace(str(folder), origin).removesuffix(".")
        raise FormatError(
            f"{told}; give the folder of a whole tokenizer as tokenizer, {_MODEL_ALONE}."
        ) from error
    found = [file for name in (_TOKENIZER, *_BESIDES) for file in sorted(folder.glob(name))]
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}
    return Texts(origin, files, vocab_size)


def _saved_by_transformers(where: str) -> Texts:
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
                f"tokenizer.json as tokenizer, {_MODEL_ALONE}."
            ) from error
        if not (Path(saved) / _TOKENIZER).is_file():
            raise FormatError(
                f"{where}: transformers can't write its tokenizer as tokenizer.json; give the "
                f"folder of one that has it as tokenizer, {_MODEL_ALONE}."
            )
        return _read(Path(saved), where)


def write_texts(folder: Path, texts: Texts, model: PreTrainedModel) -> None:
    """Write the tokenizer's files and the model's settings."""
    folder.mkdir()
    for name, content in texts.files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folder / "config.json").write_text(model.config.to_json_string(), "utf-8")
    if model.generation_config is not None:
        text = model.generation_config.to_json_string()
        (folder / "generation_config.json").write_text(text, "utf-8")
