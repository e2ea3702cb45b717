"""Answers in the shapes of OpenAI's protocol."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchtract.llm import Generation


@dataclass(frozen=True)
class Form:
    """How one kind of request is answered.

    Attributes:
        prefix: of ids.
        whole_kind: what a whole answer is called.
        part_kind: what a part of a stream is called.
        whole: a text in a choice.
        begin: what comes before a text in a stream, if anything.
        part: a piece of a text in a stream.
        end: what comes with the reason for its end.
    """

    prefix: str
    whole_kind: str
    part_kind: str
    whole: Callable[[str], dict[str, Any]]
    begin: dict[str, Any] | None
    part: Callable[[str], dict[str, Any]]
    end: dict[str, Any]


COMPLETION = Form(
    prefix="cmpl",
    whole_kind="text_completion",
    part_kind="text_completion",
    whole=lambda text: {"text": text},
    begin=None,
    part=lambda piece: {"text": piece},
    end={"text": ""},
)
CHAT = Form(
    prefix="chatcmpl",
    whole_kind="chat.completion",
    part_kind="chat.completion.chunk",
    whole=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    begin={"delta": {"role": "assistant", "content": ""}},
    part=lambda piece: {"delta": {"content": piece}},
    end={"delta": {}},
)


@dataclass(frozen=True)
class Reply:
    """One answer, whole or in parts."""

    form: Form
    model: str
    n: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, results: Sequence[Generation]) -> dict[str, Any]:
        """All choices, and the numbers of tokens."""
        choices = [
            choice(index, self.form.whole(result.text), result.finish_reason)
            for index, result in enumerate(results)
        ]
        return {**self._head(self.form.whole_kind, choices), "usage": usage(results, self.n)}

    def part(self, index: int, piece: str) -> dict[str, Any]:
        """A piece of a choice."""
        return self._chunk(index, self.form.part(piece))

    def begin(self, index: int) -> dict[str, Any] | None:
        """What comes before the first piece of a choice."""
        return None if self.form.begin is None else self._chunk(index, self.form.begin)

    def end(self, index: int, result: Generation) -> dict[str, Any]:
        """What comes behind the last piece of a choice."""
        return self._chunk(index, self.form.end, result.finish_reason)

    def counts(self, results: Sequence[Generation]) -> dict[str, Any]:
        """The numbers of tokens, at the end of a stream."""
        return {**self._head(self.form.part_kind, []), "usage": usage(results, self.n)}

    def _chunk(self, index: int, said: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return self._head(self.form.part_kind, [choice(index, said, reason)])

    def _head(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"{self.form.prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def choice(index: int, said: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": index, **said, "finish_reason": reason, "logprobs": None}


def usage(results: Sequence[Generation], n: int) -> dict[str, Any]:
    """The numbers of tokens; those of a prompt count once for its `n` texts."""
    prompts = results[::n]
    read = sum(result.prompt_tokens for result in prompts)
    new = sum(len(result.tokens) for result in results)
    cached = sum(result.cached_tokens for result in prompts)
    return {
        "prompt_tokens": read,
        "completion_tokens": new,
        "total_tokens": read + new,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def error(
    message: str,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """Why there is no answer."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def event(data: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(data)}\n\n"


DONE = "data: [DONE]\n\n"
"""The last event."""
