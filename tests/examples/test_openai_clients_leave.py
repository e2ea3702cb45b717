"""Clients of the OpenAI server that leave, wait, or meet an engine that fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from examples.conftest import eventually
from examples.openai_serving import SlowModel, Texts, serving
from llm.texts import CHAT_TEMPLATE, trained_tokenizer
from torchtract.llm import ChatTemplate, LanguageModel

MESSAGES: list[Any] = [{"role": "user", "content": "Which models stream?"}]


@pytest.fixture
def slow() -> Iterator[tuple[SlowModel, OpenAI]]:
    model = SlowModel()
    template = ChatTemplate({"default": CHAT_TEMPLATE}, {"bos_token": ""}, "a test")
    lm = LanguageModel(model, Texts(trained_tokenizer()), chat_template=template)
    with (
        serving(lm, parallel=1) as url,
        OpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):
        yield model, client


def test_a_client_that_leaves_a_stream_ends_it(slow: tuple[SlowModel, OpenAI]) -> None:
    model, client = slow
    stream = client.chat.completions.create(
        model="llama", messages=MESSAGES, max_tokens=500_000, stream=True
    )
    for _ in range(5):
        next(stream)
    assert not model.rests()

    stream.close()

    assert eventually(model.rests)


def test_a_client_that_waits_no_longer_ends_the_text(slow: tuple[SlowModel, OpenAI]) -> None:
    model, client = slow

    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).completions.create(
            model="llama", prompt="Hi", max_tokens=500_000
        )

    assert model.pushed
    assert eventually(model.rests)


def test_a_client_that_reads_slowly_holds_up_nobody(slow: tuple[SlowModel, OpenAI]) -> None:
    _, client = slow
    stream = client.completions.create(model="llama", prompt="Hi", max_tokens=500_000, stream=True)
    next(stream)

    other = client.with_options(timeout=20).completions.create(
        model="llama", prompt="Ho", max_tokens=5
    )

    assert len(other.choices[0].text) > 0
    stream.close()


def test_an_engine_that_fails_is_told(slow: tuple[SlowModel, OpenAI]) -> None:
    model, client = slow
    model.fails = True
    with pytest.raises(openai.InternalServerError, match="the engine broke"):
        client.completions.create(model="llama", prompt="Hi")
    with pytest.raises(openai.APIError, match="the engine broke"):
        list(client.completions.create(model="llama", prompt="Hi", stream=True))

    model.fails = False
    assert client.completions.create(model="llama", prompt="Hi").choices[0].text
