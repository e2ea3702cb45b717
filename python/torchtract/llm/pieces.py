"""From tokens to pieces of text that can be shown at once, and the end at a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Decoder", "Stops", "Text"]

_BROKEN = "\N{REPLACEMENT CHARACTER}"
_MOST_BROKEN = 3
"""Bytes of a character in UTF-8, and so tokens, that may be there without its last one."""
_WINDOW = 6
"""Tokens of the prompt that the first new one is decoded with."""


class Text:
    """The text behind a prompt, while its tokens come.

    Args:
        decode: gives the text of tokens.
        prompt: the tokens before.
        stops: strings that end the text.

    Attributes:
        stopped: whether one of them came. Then there is no more text.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        prompt: Sequence[int],
        stops: Sequence[str],
    ) -> None:
        self.stopped = False
        self._decoder = Decoder(decode, prompt)
        self._stops = Stops(stops)

    def push(self, token: int) -> str:
        """The text that can be shown now, possibly none."""
        piece, self.stopped = self._stops.push(self._decoder.push(token))
        return piece

    def flush(self) -> str:
        """What is left, when no more tokens come."""
        if self.stopped:
            return ""
        piece, self.stopped = self._stops.push(self._decoder.flush())
        return piece if self.stopped else piece + self._stops.flush()


class Decoder:
    """Gives the text that tokens add to a prompt, whole characters at a time.

    What a token says depends on those before: blanks between words, bytes of one character. So a
    few tokens before are decoded with it, and what they say alone is taken off.

    Args:
        decode: gives the text of tokens.
        prompt: the tokens before.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._tokens = list(prompt[-_WINDOW:])
        if decode(self._tokens).endswith(_BROKEN):
            self._tokens = []  # half a character of the prompt is none of the text
        self._new = len(self._tokens)
        self._shown = len(decode(self._tokens))

    def push(self, token: int) -> str:
        """The text that is certain now, often that of `token`, possibly none."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        broken = len(text) - len(text.rstrip(_BROKEN))
        young = len(self._tokens) - self._new <= _MOST_BROKEN
        piece = self._show(text, len(text) - (broken if young else min(broken, _MOST_BROKEN)))
        if not broken:
            self._tokens = self._tokens[self._new :]
            self._new = len(self._tokens)
            self._shown = len(self._decode(self._tokens))
        return piece

    def flush(self) -> str:
        """What is left at the end, such as half a character."""
        text = self._decode(self._tokens)
        return self._show(text, len(text))

    def _show(self, text: str, end: int) -> str:
        piece = text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece


class Stops:
    """Cuts text at the first stop string, and holds back what may be the start of one.

    The first is the one that is complete first: so it does not matter how the text is cut.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """The text that can be shown, and whether a stop string came behind it."""
        text = self._held + piece
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)[1]], True
        held = max((_start_of(stop, text) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], False

    def flush(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


def _start_of(stop: str, text: str) -> int:
    """How many characters `text` ends with that `stop` begins with, not all of it."""
    longest = min(len(stop) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
