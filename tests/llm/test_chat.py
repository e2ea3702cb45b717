"""Chat templates, beside transformers'."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from llm.conftest import WriteFolder
from llm.texts import CHAT_TEMPLATE, CONFIG
from torchtract.errors import GenerationError, LoadError
from torchtract.llm.chat import ChatTemplate
from torchtract.llm.folder import read_chat_template

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be <brief> & kind."},
    {"role": "user", "content": "Hi 🙂\n"},
    {"role": "assistant", "content": "Hello!", "tool_calls": None},
    {"role": "user", "content": "Bye"},
]
PARAMETERS = {"a": {"type": "number"}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]
TEMPLATES = {
    "as ChatML": CHAT_TEMPLATE,
    "JSON": "{{ messages | tojson }} {{ tools | tojson(indent=2) if tools }}{{ eos_token }}",
    "keys that are there": (
        "{% for m in messages %}{{ 'tools' if m.tool_calls is defined }}"
        "{{ m['content'] | trim }},{% endfor %}"
    ),
    "loop controls and generation": (
        "{% for m in messages %}\n    {% if loop.index == 4 %}{% break %}{% endif %}\n"
        "{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}\n"
    ),
    "namespace and dict": (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{% endfor %}{{ ns.n }} {{ dict(a=1) }} {{ thinking | default('no') }}"
    ),
    "the date": "{{ strftime_now('%Y') }}{{ messages | length }}",
}


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("prompt", [True, False], ids=["prompt", "no prompt"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_as_transformers(folder: WriteFolder, name: str, prompt: bool, tools: Any) -> None:
    path = folder(**{"chat_template.jinja": TEMPLATES[name]})
    theirs = PreTrainedTokenizerFast.from_pretrained(path)
    ours = read_chat_template(path)
    assert ours

    text = ours.render(MESSAGES, tools, add_generation_prompt=prompt, thinking="yes")

    assert text == theirs.apply_chat_template(
        MESSAGES, tools=tools, add_generation_prompt=prompt, tokenize=False, thinking="yes"
    )


def test_templates_in_the_config(folder: WriteFolder) -> None:
    several = [
        {"name": "default", "template": "default"},
        {"name": "tool_use", "template": "tools {{ tools | length }}"},
    ]
    config = {**CONFIG, "chat_template": several}
    template = read_chat_template(folder(**{"tokenizer_config.json": config}))
    assert template  # that of chat_template.jinja comes first
    assert template.render(MESSAGES).startswith("<|start|><|im_start|>system")
    found = read_chat_template(
        folder("other", **{"tokenizer_config.json": config, "chat_template.jinja": None})
    )

    assert found
    assert found.render(MESSAGES) == "default"
    assert found.render(MESSAGES, TOOLS) == "tools 1"


def test_a_folder_without_a_template(folder: WriteFolder) -> None:
    assert read_chat_template(folder(**{"chat_template.jinja": None})) is None


def of(text: str) -> ChatTemplate:
    return ChatTemplate({"default": text}, {}, "a test")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "there are none"),
        ("Hello", "a list of dicts"),
        ({"role": "user"}, "a list of dicts"),
        (["Hello"], "a list of dicts"),
        ([{"role": "narrator", "content": "x"}], "no role is called narrator"),
        ([{"role": "user", "content": "x"}, {"rol": "user"}], r"messages\[1\]: its role"),
        ([{"role": "user"}], "'content'"),
        ([{"role": "user", "content": object()}], "plain data"),
        ([{"role": "user", "content": 3}], "refuses the messages"),
    ],
    ids=["none", "text", "one dict", "texts", "role", "no role", "no content", "object", "number"],
)
def test_messages_that_are_refused(messages: Any, words: str) -> None:
    with pytest.raises(GenerationError, match=words):
        of(CHAT_TEMPLATE).render(messages)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ 1 / 0 }}",
        "{{ messages | round }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ range(10000000) }}",
    ],
)
def test_templates_that_fail_or_do_what_they_must_not(text: str) -> None:
    with pytest.raises(GenerationError, match="chat template"):
        of(text).render(MESSAGES)


def test_a_template_that_is_none() -> None:
    with pytest.raises(LoadError, match="a test: no template"):
        of("{% for %}").render(MESSAGES)


def test_messages_are_left_as_they_are() -> None:
    messages = [{"role": "user", "content": "x", "name": None}]

    of("{% set _ = messages[0] %}ok").render(messages)

    assert messages == [{"role": "user", "content": "x", "name": None}]
