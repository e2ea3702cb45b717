"""The server that speaks OpenAI's protocol, driven by OpenAI's client."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from examples.conftest import eventually
from examples.openai_serving import serving
from llm.texts import trained_tokenizer, write_language_model
from torchtract.llm import LanguageModel, load

SERVER = Path(__file__).parents[2] / "examples" / "openai_server.py"
MESSAGES: list[Any] = [{"role": "user", "content": "Which models stream?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llm")
    return write_language_model(path / "llama", trained_tokenizer(), path / "texts")


@pytest.fixture(scope="module")
def lm(folder: Path) -> LanguageModel:
    return load(folder)


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving(load(folder)) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_models(client: OpenAI) -> None:
    [model] = client.models.list().data

    assert model.id == "llama"
    assert client.models.retrieve("llama") == model
    with pytest.raises(openai.NotFoundError, match="no 'gpt'"):
        client.models.retrieve("gpt")


def test_a_completion(client: OpenAI, lm: LanguageModel) -> None:
    expected = lm.generate("Models", max_new_tokens=12)

    answer = client.completions.create(model="llama", prompt="Models", max_tokens=12)

    [choice] = answer.choices
    assert (choice.text, choice.finish_reason) == (expected.text, "length")
    assert answer.usage
    assert answer.usage.prompt_tokens == expected.prompt_tokens
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == expected.prompt_tokens + 12
    assert (answer.object, answer.model) == ("text_completion", "llama")


def test_a_streamed_completion(client: OpenAI, lm: LanguageModel) -> None:
    expected = lm.generate("Models", max_new_tokens=12)

    chunks = list(
        client.completions.create(
            model="llama",
            prompt="Models",
            max_tokens=12,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    *parts, counts = chunks
    assert len(parts) > 3
    assert "".join(part.choices[0].text for part in parts) == expected.text
    assert [part.choices[0].finish_reason for part in parts[-2:]] == [None, "length"]
    assert counts.choices == []
    assert counts.usage
    assert counts.usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_chat(client: OpenAI, lm: LanguageModel) -> None:
    expected = lm.chat(MESSAGES, max_new_tokens=12)

    answer = client.chat.completions.create(
        model="llama", messages=MESSAGES, max_completion_tokens=12
    )

    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", expected.text)
    assert answer.usage
    assert answer.usage.prompt_tokens == expected.prompt_tokens
    assert answer.object == "chat.completion"


def test_a_streamed_chat(client: OpenAI, lm: LanguageModel) -> None:
    expected = lm.chat(MESSAGES, max_new_tokens=12)

    parts: list[Any] = list(
        client.chat.completions.create(model="llama", messages=MESSAGES, max_tokens=12, stream=True)
    )

    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(part.choices[0].delta.content or "" for part in parts)
    assert text == expected.text
    assert parts[-1].choices[0].finish_reason == "length"
    assert parts[0].object == "chat.completion.chunk"


def test_a_conversation_is_not_read_again(client: OpenAI) -> None:
    def cached(messages: list[Any]) -> tuple[str, int]:
        answer = client.chat.completions.create(model="llama", messages=messages, max_tokens=8)
        assert answer.usage
        assert answer.usage.prompt_tokens_details
        return (
            answer.choices[0].message.content or "",
            answer.usage.prompt_tokens_details.cached_tokens or 0,
        )

    start = [{"role": "user", "content": "A text that no other test has begun with."}]
    text, first = cached(start)
    more = [{"role": "assistant", "content": text}, {"role": "user", "content": "Go on"}]
    _, second = cached([*start, *more])

    assert second > first + 20


def test_all_options(client: OpenAI, lm: LanguageModel) -> None:
    expected = lm.fork(
        "Models", 2, max_new_tokens=40, temperature=0.9, top_p=0.9, top_k=30, seed=4, stop=["e"]
    )

    def choices(stream: bool) -> list[tuple[str, str | None]]:
        answer: Any = client.completions.create(
            model="llama",
            prompt="Models",
            n=2,
            max_tokens=40,
            temperature=0.9,
            top_p=0.9,
            seed=4,
            stop="e",
            stream=stream,
            presence_penalty=0,
            logit_bias={},
            user="somebody",
            extra_body={"top_k": 30},
        )
        texts, reasons = ["", ""], [None, None]
        for part in answer if stream else [answer]:
            for choice in part.choices:
                texts[choice.index] += choice.text
                reasons[choice.index] = choice.finish_reason
        return list(zip(texts, reasons, strict=True))

    assert choices(False) == choices(True) == [(one.text, one.finish_reason) for one in expected]
    assert expected[0].tokens != expected[1].tokens


def test_several_prompts_of_any_kind(client: OpenAI, lm: LanguageModel) -> None:
    prompts = ["Models", "tract is"]
    tokens = [lm.tokenizer.encode(prompt) for prompt in prompts]
    expected = [lm.generate(prompt, max_new_tokens=5).text for prompt in prompts]
    kinds: list[tuple[Any, list[str]]] = [
        (prompts, expected),
        (tokens, expected),
        (tokens[1], expected[1:]),
    ]
    for prompt, texts in kinds:
        answer = client.completions.create(model="llama", prompt=prompt, max_tokens=5)

        assert [choice.text for choice in answer.choices] == texts
        assert answer.usage
        assert answer.usage.completion_tokens == 5 * len(texts)


def test_content_in_parts(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "Which "}, {"type": "text", "text": "models stream?"}]
    messages: list[Any] = [{"role": "user", "content": parts}]

    answers = [
        client.chat.completions.create(model="llama", messages=asked, max_tokens=8)
        for asked in (MESSAGES, messages)
    ]

    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content


def test_many_clients_at_once(client: OpenAI, lm: LanguageModel) -> None:
    prompts = [f"{i} models of {i % 3}" for i in range(24)]
    expected = [lm.generate(prompt, max_new_tokens=10).text for prompt in prompts]

    def ask(prompt: str) -> str:
        stream = client.completions.create(model="llama", prompt=prompt, max_tokens=10, stream=True)
        return "".join(part.choices[0].text for part in stream)

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask, prompts)) == expected


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("asked", "param", "words"),
    [
        ({"messages": []}, None, "there are none"),
        ({"messages": user("many " * 1100)}, "messages", "longest text"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, None, "no role is called narrator"),
        ({"messages": user([{"type": "image_url"}])}, "messages", "is no text"),
        ({"messages": "Hi"}, "messages", "list"),
        ({"temperature": -1}, None, "temperature=-1"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"top_p": 0}, None, "top_p=0"),
        ({"max_tokens": 0}, "max_tokens", "greater"),
        ({"n": 0}, "n", "greater"),
        ({"stop": [""]}, None, "stop="),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"extra_body": {"chat_template_kwargs": {"messages": []}}}, None, "messages can't be"),
        ({"extra_body": {"chat_template_kwargs": {"self": 1}}}, None, "self can't be"),
        ({"tool_choice": "required"}, "tool_choice", "not supported"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_bad_requests(
    client: OpenAI, asked: dict[str, Any], param: str | None, words: str, stream: bool
) -> None:
    request: dict[str, Any] = {"model": "llama", "messages": MESSAGES, "stream": stream, **asked}

    with pytest.raises(openai.BadRequestError, match=words) as caught:
        client.chat.completions.create(**request)

    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_a_prompt_that_is_too_long_has_openais_code(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="llama", prompt=[7] * 1024)

    assert caught.value.code == "context_length_exceeded"


def test_bad_prompts(client: OpenAI) -> None:
    for prompt in ("", [], [400], [-1]):
        with pytest.raises(openai.BadRequestError, match="prompt"):
            client.completions.create(model="llama", prompt=prompt)


def test_another_model(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt", messages=MESSAGES)

    assert caught.value.code == "model_not_found"


def test_what_is_no_request(url: str) -> None:
    def answer(path: str, body: str) -> tuple[int, Any]:
        host = url.removeprefix("http://").removesuffix("/v1")
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())["error"]["type"]
        finally:
            connection.close()

    assert answer("/v1/completions", "{") == (400, "invalid_request_error")
    assert answer("/v1/completions", "[]") == (400, "invalid_request_error")
    assert answer("/v1/completions", '{"model": "llama"}') == (400, "invalid_request_error")
    assert answer("/v1/embeddings", "{}") == (404, "invalid_request_error")


def test_the_server_at_a_terminal(folder: Path, lm: LanguageModel, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command: list[str | Path] = [sys.executable, SERVER, folder, "--port", "0", "--name", "small"]
    with log.open("wb") as output:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        running = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
        assert eventually(lambda: bool(running.search(log.read_text())), 60), log.read_text()
        found = running.search(log.read_text())
        assert found
        with OpenAI(base_url=f"{found[1]}/v1", api_key="none", max_retries=0) as client:
            answer = client.completions.create(model="small", prompt="Models", max_tokens=6)
    finally:
        process.terminate()
        process.wait(20)

    assert answer.choices[0].text == lm.generate("Models", max_new_tokens=6).text
    assert "Traceback" not in log.read_text()


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, SERVER, tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 1
    assert "it has no model.nnef.tar" in run.stderr
    assert "Traceback" not in run.stderr
