"""``torchtract llm chat``: a conversation."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Console

from torchtract.cli.llm.options import (
    FolderPath,
    MaxNewTokens,
    MinP,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TokenizerPath,
    TopK,
    TopP,
    asked_for,
    open_language_model,
    printed,
)
from torchtract.cli.options import Debug, Threads
from torchtract.cli.output import brief_errors, show_piece, warn
from torchtract.errors import GenerationError
from torchtract.llm import GenerationOptions, LanguageModel

__all__ = ["chat"]

_HELP = "Ctrl-C stops an answer, Ctrl-D ends, /clear forgets what was said."
_LONGEST_ANSWER = 1024


def chat(
    path: FolderPath,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is told before.")
    ] = None,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    stop: Stop = None,
    seed: Seed = None,
    tokenizer: TokenizerPath = None,
    threads: Threads = 1,
    debug: Debug = False,
) -> None:
    """Talk with a model that has a chat template.

    Ctrl-C stops an answer, Ctrl-D ends, and the message /clear forgets what was said. Through a
    pipe, each line is a message.
    """
    asked = asked_for(
        max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, stop, seed
    )
    with brief_errors(debug):
        lm = open_language_model(path, tokenizer, threads)
        if max_new_tokens is None:
            asked["max_new_tokens"] = lm.settings.max_new_tokens or _LONGEST_ANSWER
        conversation = _Conversation(lm, system, asked)
        conversation.check()
        for message in _messages():
            conversation.answer(message)


class _Conversation:
    """What was said, and how answers are made."""

    def __init__(self, lm: LanguageModel, system: str | None, asked: GenerationOptions) -> None:
        self._lm = lm
        self._asked = asked
        self._start = [{"role": "system", "content": system}] if system else []
        self._messages = list(self._start)

    def check(self) -> None:
        """Raises GenerationError where no message could be answered."""
        trial = {"role": "user", "content": "?"}
        self._lm.chat([*self._start, trial], stream=True, **self._asked).close()

    def answer(self, message: str) -> None:
        """Prints an answer, and remembers it."""
        if message == "/clear":
            self._messages = list(self._start)
            return
        messages = [*self._messages, {"role": "user", "content": message}]
        try:
            stream = self._lm.chat(messages, stream=True, **self._asked)
            with _on_ctrl_c(stream.cancel):
                text = printed(stream).text
        except GenerationError as error:  # such as a conversation that got too long
            warn(f"{error}. The message is dropped; /clear forgets what was said.")
            return
        self._messages = [*messages, {"role": "assistant", "content": text}]


@contextmanager
def _on_ctrl_c(do: Callable[[], None]) -> Iterator[None]:
    # An exception would end the computation at any place, and lose what was read.
    before = signal.signal(signal.SIGINT, lambda *_: do())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _messages() -> Iterator[str]:
    """What the user types, until the end of the input."""
    asks = _is_terminal()
    if asks:
        with suppress(ImportError):
            import readline  # noqa: F401  # lines can be edited then
        Console(highlight=False).print(_HELP, style="dim")
    while True:
        try:
            message = input("> " if asks else "")
        except EOFError:
            if asks:
                show_piece("\n")
            return
        if message.strip():
            yield message


def _is_terminal() -> bool:
    return sys.stdin.isatty()
