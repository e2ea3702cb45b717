"""The server of OpenAI's protocol in this process, and a model that is slow enough to be left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from examples.conftest import eventually
from llm.fakes import FakeModel
from openai_server import application
from torchtract.llm import LanguageModel

__all__ = ["SlowModel", "Texts", "serving"]


@contextmanager
def serving(lm: LanguageModel, parallel: int = 2) -> Iterator[str]:
    """Serves a model as ``llama`` in this process, and gives the address."""
    config = uvicorn.Config(
        application(lm, "llama", parallel), port=0, log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


class SlowModel(FakeModel):
    """Takes a millisecond for a token, and has no end."""

    def __init__(self) -> None:
        super().__init__(vocab_size=512, max_length=10**6, says=self._say)

    @staticmethod
    def _say(tokens: list[int]) -> int:
        time.sleep(0.001)
        return 60 + len(tokens) % 20

    def rests(self) -> bool:
        """Whether nothing is computed."""
        before = len(self.pushed)
        time.sleep(0.2)
        return len(self.pushed) == before


class Texts:
    """A tokenizer that needs no file."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return tokens

    def decode(self, tokens: Any, *, skip_special_tokens: bool = True) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)
        return text
