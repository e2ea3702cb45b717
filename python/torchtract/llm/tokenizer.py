"""Text to token ids and back, with Hugging Face's tokenizers or without any."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torchtract.errors import GenerationError, LoadError

__all__ = ["FolderTokenizer", "TokenIds", "Tokenizer", "check_ids"]


class Tokenizer(Protocol):
    """Makes token ids of text and text of token ids."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The token ids of a text.

        Args:
            text: any text.
            add_special_tokens: whether the model's token for the start of a text is put before.

        Raises:
            GenerationError: the text has no token ids.
        """

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids, without such as the end of text unless asked for."""


class FolderTokenizer:
    """The tokenizer of a folder, by its ``tokenizer.json``.

    Args:
        path: the file.

    Raises:
        LoadError: tokenizers is not installed, there is no such file, or it can't be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer as Native
        except ImportError as error:
            raise LoadError(
                f"{path}: can't be read, since that needs tokenizers, which is not installed; "
                "pip install 'torchtract[llm]', or load the model's file alone, for token ids."
            ) from error
        try:
            self._native = Native.from_str(path.read_text("utf-8"))
        except Exception as error:  # tokenizers raises nothing more special
            raise LoadError(f"{path}: no tokenizer can be read from it: {error}") from error
        # A prompt is read as it is: neither cut nor filled up.
        self._native.no_truncation()
        self._native.no_padding()

    @property
    def vocab_size(self) -> int:
        """The largest token id, and one."""
        return 1 + max(self._native.get_vocab().values(), default=-1)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """As `Tokenizer.encode`."""
        try:
            return self._native.encode(text, add_special_tokens=add_special_tokens).ids
        except Exception as error:  # as above
            if half := re.search("[\ud800-\udfff]", text):
                raise GenerationError(
                    f"{text[:40]!r}: can't be made token ids, since {half[0]!r} at "
                    f"{half.start()} is half a surrogate pair and no character; remove it, or "
                    "decode the text anew."
                ) from error
            raise GenerationError(f"{text[:40]!r}: the tokenizer refuses it: {error}") from error

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """As `Tokenizer.decode`."""
        return self._native.decode(tokens, skip_special_tokens=skip_special_tokens)


class TokenIds:
    """In the place of a tokenizer: the text of tokens are their ids, as in ``"17 4 99"``."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:  # noqa: ARG002
        """As `Tokenizer.encode`."""
        try:
            return [int(word) for word in text.split()]
        except ValueError:
            raise GenerationError(
                f"{text[:40]!r}: it can't be made token ids, since the model was loaded without a "
                "tokenizer; load(..., tokenizer=FOLDER), or give token ids."
            ) from None

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool = True) -> str:  # noqa: ARG002
        """As `Tokenizer.decode`."""
        return " ".join(map(str, tokens))


def check_ids(name: str, tokens: Sequence[int], vocab_size: int) -> None:
    """Refuses token ids that the model does not have.

    Raises:
        GenerationError: there is such a one.
    """
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise GenerationError(f"{name}: there is no token {token}, only 0 to {vocab_size - 1}")
