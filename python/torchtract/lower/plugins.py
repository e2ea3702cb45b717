"""Lowerings that other packages bring: entry points of the group `torchtract.lowerings`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from threading import Lock

from torchtract.errors import LoweringError

__all__ = ["GROUP", "load_plugins"]

GROUP = "torchtract.lowerings"

_LOCK = Lock()
_loaded: set[tuple[str, str]] = set()


def load_plugins() -> None:
    """Import what installed packages name in the group, in the order of their names, once.

    An entry point names a module that registers lowerings when it is imported, or a function in
    it that registers them when it is called without arguments.

    Raises:
        LoweringError: one of them fails.
    """
    with _LOCK:
        for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
            if (entry.name, entry.value) not in _loaded:
                _load(entry)
                _loaded.add((entry.name, entry.value))


def _load(entry: EntryPoint) -> None:
    try:
        loaded = entry.load()
        if entry.attr:
            loaded()
    except Exception as error:
        package = entry.dist.name if entry.dist else "an unknown package"
        raise LoweringError(
            f"{package}: its entry point {entry.name} = {entry.value!r} in {GROUP} can't be "
            f"loaded, since it raised {type(error).__name__}: {error}; mend the package, or "
            "uninstall it."
        ) from error
