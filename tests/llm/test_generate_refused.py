"""Prompts and options that no text is generated for; nothing is computed before."""

from __future__ import annotations

from typing import Any

import pytest

from llm.fakes import FakeModel
from torchtract.errors import GenerationError
from torchtract.llm import ChatTemplate, LanguageModel
from torchtract.llm.tokenizer import FolderTokenizer


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "it is empty"),
        ([], "it is empty"),
        ([1, 50], "no token 50, only 0 to 49"),
        ([-1], "no token -1"),
        ([2**70], "ints is needed"),
        ([1.0], "ints is needed, not float64"),
        ([True], "ints is needed, not bool"),
        (["1"], "ints is needed"),
        ([[1, 2]], r"ints is needed, not int64 \[1,2\]"),
        ([[1], [1, 2]], r"ints is needed, not '\[\[1\], \[1, 2\]\]'"),
        (None, "ints is needed"),
        (5, "ints is needed"),
        ([1] * 64, "64 tokens, and the model takes 64"),
        ([1] * 1000, "1000 tokens"),
        ("words", "loaded without a tokenizer"),
    ],
    ids=str,
)
def test_prompts_that_are_refused(prompt: Any, words: str) -> None:
    model = FakeModel()

    with pytest.raises(GenerationError, match=words):
        LanguageModel(model).generate(prompt)
    assert not model.pushed


def test_an_empty_prompt_of_a_tokenizer_that_starts_texts(tokenizer: FolderTokenizer) -> None:
    assert tokenizer.encode("") == [0]

    with pytest.raises(GenerationError, match="it is empty"):
        LanguageModel(FakeModel(512), tokenizer).generate("")


@pytest.mark.parametrize(
    "options",
    [
        *({"max_new_tokens": 0}, {"max_new_tokens": -1}, {"max_new_tokens": 1.5}),
        *({"max_new_tokens": True}, {"stop": ""}, {"stop": ["a", ""]}, {"stop": [1]}),
        *({"seed": -1}, {"seed": 0.5}, {"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}),
        *({"top_k": -1}, {"min_p": 2}, {"repetition_penalty": 0}),
    ],
    ids=str,
)
def test_options_that_are_refused(options: dict[str, Any]) -> None:
    model = FakeModel()

    with pytest.raises(GenerationError, match=f"{next(iter(options))}="):
        LanguageModel(model).generate([1], stream=True, **options)
    assert not model.pushed


def test_options_that_there_are_not() -> None:
    lm = LanguageModel(FakeModel(), chat_template=ChatTemplate({"default": "5"}, {}, "a test"))
    unknown: Any = {"foo": 1}

    with pytest.raises(TypeError, match="foo: there is no such option, only max_new_tokens, temp"):
        lm.fork([1], 2, **unknown)
    with pytest.raises(TypeError, match="foo: there is no such option"):
        lm.chat([{"role": "user", "content": "Hi"}], **unknown)


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_a_number_of_texts_that_is_refused(n: Any) -> None:
    with pytest.raises(GenerationError, match="n="):
        LanguageModel(FakeModel()).fork([1], n)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({name: []}, f"{name} can't be among them") for name in ("messages", "tools", "self")),
        *(([1], "a dict"), ([], "a dict"), ({1: 2}, "a dict")),
        ({"x": {1, 2}}, "plain data"),
    ],
    ids=str,
)
def test_template_options_that_are_refused(options: Any, words: str) -> None:
    lm = LanguageModel(FakeModel(), chat_template=ChatTemplate({"default": "5"}, {}, "a test"))

    with pytest.raises(GenerationError, match=f"options.*{words}"):
        lm.chat([{"role": "user", "content": "Hi"}], template_options=options)
    assert lm.chat_tokens([{"role": "user"}], template_options={"x": 1}) == [5]


def test_chat_without_a_template() -> None:
    with pytest.raises(GenerationError, match="without a chat template"):
        LanguageModel(FakeModel()).chat([{"role": "user", "content": "Hi"}])


def test_a_stranger_as_stop() -> None:
    with pytest.raises(GenerationError, match="stop="):
        LanguageModel(FakeModel()).generate([1], stop=5)  # type: ignore[call-overload]
