"""What clients of OpenAI's protocol ask for."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from torchtract.errors import GenerationError
from torchtract.llm import GenerationOptions, LanguageModel, TextStream

#: Of what the protocol has and this server has not: the values that ask for nothing, besides null.
NOTHING_ASKED: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("auto", "none"),
    "top_logprobs": (),
    "web_search_options": (),
}

LONGEST_ANSWER = 4096
"""Of a model without a limit, to a client that sets none."""


class BadRequest(Exception):
    """A request that can't be answered, and the field that is to blame."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class StreamOptions(BaseModel):
    """What a stream tells besides the text."""

    include_usage: bool = False


class Asked(BaseModel):
    """What both kinds of requests have. `top_k` and what follows it are not OpenAI's own."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str
    n: int | None = Field(default=None, ge=1, le=128)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    @property
    def counts(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def streams(self, lm: LanguageModel) -> list[TextStream]:
        """Texts for each prompt, `n` for each, none of them begun.

        Raises:
            BadRequest: the server can't do what is asked for.
            GenerationError: the model can't.
        """
        for name, nothing in NOTHING_ASKED.items():
            value = (self.model_extra or {}).get(name)
            if value is not None and value not in nothing:
                raise BadRequest(f"{name}={value!r}: is not supported by this server", name)
        options = self._options(lm)
        return [
            stream
            for prompt in self._prompts(lm)
            for stream in lm.fork(prompt, self.n or 1, stream=True, **options)
        ]

    def _options(self, lm: LanguageModel) -> GenerationOptions:
        """A client that is silent gets what the model's folder says."""
        most = self._max_tokens(lm)
        return {
            "max_new_tokens": most,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "stop": self.stop or (),
            "seed": self.seed,
        }

    def _max_tokens(self, lm: LanguageModel) -> int:
        raise NotImplementedError

    def _prompts(self, lm: LanguageModel) -> list[list[int]]:
        raise NotImplementedError


class CompletionRequest(Asked):
    """Continue prompts: texts, or token ids."""

    prompt: str | list[str] | list[int] | list[list[int]]

    def _max_tokens(self, lm: LanguageModel) -> int:  # noqa: ARG002
        return 16 if self.max_tokens is None else self.max_tokens

    def _prompts(self, lm: LanguageModel) -> list[list[int]]:
        several = isinstance(self.prompt, list) and not any(
            isinstance(part, int) for part in self.prompt
        )
        prompts = self.prompt if several else [self.prompt]
        if not prompts:
            raise BadRequest("prompt: there is none", "prompt")
        return [fitting(lm, lm.tokens(prompt), "prompt") for prompt in prompts]  # type: ignore[arg-type]


class ChatRequest(Asked):
    """Answer messages."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    chat_template_kwargs: dict[str, Any] | None = None

    def _max_tokens(self, lm: LanguageModel) -> int:
        asked = self.max_completion_tokens or self.max_tokens
        if asked is not None:
            return asked
        longest = lm.max_length if lm.max_length < sys.maxsize else LONGEST_ANSWER
        return lm.settings.max_new_tokens or longest

    def _prompts(self, lm: LanguageModel) -> list[list[int]]:
        messages = [{**message, "content": as_text(message)} for message in self.messages]
        tools = None if self._extra("tool_choice") == "none" else self.tools
        options = self.chat_template_kwargs
        tokens = lm.chat_tokens(messages, tools=tools, template_options=options)
        return [fitting(lm, tokens, "messages")]

    def _extra(self, name: str) -> Any:
        return (self.model_extra or {}).get(name)


def as_text(message: dict[str, Any]) -> Any:
    """A message's content, of which templates want one text where clients may give parts."""
    content = message.get("content")
    if not isinstance(content, list):
        return content
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise BadRequest(f"messages: {str(part)[:40]!r} is no text", "messages")
    return "".join(str(part.get("text", "")) for part in content)


def fitting(lm: LanguageModel, tokens: list[int], param: str) -> list[int]:
    """The tokens, if the model can read them and say one more."""
    if len(tokens) >= lm.max_length:
        raise BadRequest(
            f"{param}: the prompt has {len(tokens)} tokens, and the model's longest text, with "
            f"what it generates, {lm.max_length}",
            param,
            "context_length_exceeded",
        )
    if not tokens:
        raise GenerationError(f"{param}: the prompt is empty")
    return tokens
