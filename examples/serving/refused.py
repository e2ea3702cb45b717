"""Why a connection is closed."""

from __future__ import annotations


class Refused(Exception):
    """A connection can't go on.

    Attributes:
        code: the WebSocket's close code.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
