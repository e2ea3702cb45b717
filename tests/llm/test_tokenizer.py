"""Tokenizers of folders, beside transformers'."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from llm.conftest import WriteFolder
from llm.texts import CONFIG
from torchtract.errors import GenerationError
from torchtract.llm.folder import read_tokenizer
from torchtract.llm.tokenizer import FolderTokenizer, TokenIds

TEXTS = ["Hello world", " two  blanks\n", "<|start|>a<|im_end|>", "naïve 🙂 €", "x" * 3000, "\0"]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"add_bos_token": True},
        {"add_bos_token": False},
        {"add_bos_token": True, "add_eos_token": True},
        {"add_eos_token": True},
        {"add_bos_token": True, "bos_token": None},
    ],
    ids=str,
)
def test_encodes_and_decodes_as_transformers(folder: WriteFolder, config: dict[str, Any]) -> None:
    path = folder(**{"tokenizer_config.json": {**CONFIG, **config}})
    theirs = PreTrainedTokenizerFast.from_pretrained(path)
    ours = read_tokenizer(path)

    for text in TEXTS:
        for special in (True, False):
            tokens = ours.encode(text, add_special_tokens=special)
            assert tokens == theirs.encode(text, add_special_tokens=special)
            for skip in (True, False):
                expected = theirs.decode(tokens, skip_special_tokens=skip)
                assert ours.decode(tokens, skip_special_tokens=skip) == expected


def test_a_prompt_is_neither_cut_nor_filled_up(folder: WriteFolder, bpe: Any) -> None:
    changed = type(bpe).from_str(bpe.to_str())
    changed.enable_truncation(4)
    changed.enable_padding(length=4)
    tokenizer = read_tokenizer(folder(**{"tokenizer.json": changed.to_str()}))

    assert tokenizer.encode("a", add_special_tokens=False) == bpe.encode("a").ids[1:]
    assert len(tokenizer.encode("a b c d e f g")) > 4


def test_text_that_is_none(tokenizer: FolderTokenizer) -> None:
    with pytest.raises(GenerationError, match=r"'\\ud800' at 12 is half a surrogate pair"):
        tokenizer.encode("half a pair \ud800")


def test_ids_in_the_place_of_text() -> None:
    assert TokenIds().encode(" 17 4\n99 ") == [17, 4, 99]
    assert TokenIds().decode([17, 4, 99]) == "17 4 99"
    with pytest.raises(GenerationError, match="loaded without a tokenizer"):
        TokenIds().encode("Hello")
