"""Which function lowers what: the built-in ones, the user's, and those of a `with` block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from torchtract.errors import LoweringError

__all__ = ["Entry", "all_keys", "find", "outside_of_scopes", "register", "scoped_lowerings"]


class Entry(Protocol):
    """What is registered: it holds the function that emits NNEF."""

    @property
    def function(self) -> Callable[..., Any]:
        """Emits NNEF."""


_LOCK = threading.Lock()
_ENTRIES: dict[Any, Any] = {}
_REPLACEMENTS: dict[Any, Any] = {}
#: What the `with` blocks around the caller have registered, the innermost one last.
_SCOPES: ContextVar[tuple[dict[Any, Any], ...]] = ContextVar("scopes", default=())


def register(key: Any, entry: Entry, replace: bool, where: str) -> None:
    """Add an entry: to the innermost `with` block, or else for good.

    Args:
        key: what it lowers.
        entry: the lowering.
        replace: whether it takes the place of any other, whichever was registered first.
        where: how the user wrote it, for the error.

    Raises:
        LoweringError: there is another function's entry, and `replace` is false.
    """
    scopes = _SCOPES.get()
    with _LOCK:
        table = scopes[-1] if scopes else _REPLACEMENTS if replace else _ENTRIES
        other = find(key) if scopes else table.get(key)
        if other is not None and not replace and not _defined_again(other, entry):
            raise LoweringError(
                f"{where}: can't be registered, since {other.function.__qualname__} lowers it "
                "already; say replace=True to take its place, or remove one."
            )
        table[key] = entry


def _defined_again(old: Entry, new: Entry) -> bool:
    """Whether it is one function, defined again: a notebook's cell was run twice."""
    names = [(f.__module__, f.__qualname__) for f in (old.function, new.function)]
    return names[0] == names[1] and "<" not in names[0][1]


def find(key: Any) -> Any:
    """The entry that holds here, None if there is none."""
    for table in (*reversed(_SCOPES.get()), _REPLACEMENTS, _ENTRIES):
        if key in table:
            return table[key]
    return None


def all_keys() -> set[Any]:
    """All that has an entry here."""
    return set().union(_ENTRIES, _REPLACEMENTS, *_SCOPES.get())


@contextmanager
def scoped_lowerings() -> Iterator[None]:
    """Forget at the end of the block what was registered in it.

    It holds for the thread and the asynchronous task that the block runs in::

        with scoped_lowerings():
            lowers(aten.gelu.default, replace=True)(my_gelu)
            export_model_to_nnef(...)
    """
    token = _SCOPES.set((*_SCOPES.get(), {}))
    try:
        yield
    finally:
        _SCOPES.reset(token)


@contextmanager
def outside_of_scopes() -> Iterator[None]:
    """Register for good, whatever blocks the caller is in."""
    token = _SCOPES.set(())
    try:
        yield
    finally:
        _SCOPES.reset(token)
