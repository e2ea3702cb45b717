"""How many threads may share the work of a call."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from torchtract.errors import EngineError

__all__ = ["checked_threads"]

_MOST = 1024
"""More than processors have: the engine would try to start any number."""


def checked_threads(threads: SupportsIndex) -> int:
    """The number of threads.

    Raises:
        EngineError: it is no int, or one that can't be.
    """
    try:
        count = operator.index(threads)
    except TypeError:
        count = 0
    if not 1 <= count <= _MOST:
        raise EngineError(
            f"threads={threads!r}: can't be, since an int from 1 to {_MOST} is needed; give as "
            "many as there are processors to use."
        )
    return count
