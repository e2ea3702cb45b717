"""Lowerings that other packages bring: entry points of the group `torchtract.lowerings`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from threading import RLock

from torchtract.errors import LoweringError
from torchtract.lower.entries import outside_of_scopes

__all__ = ["GROUP", "load_plugins"]

GROUP = "torchtract.lowerings"

_LOCK = RLock()  # a package that exports while it is loaded comes here a second time
#: How loading ended: None before it, then what it raised.
_ended: list[Exception | None] = []


def load_plugins() -> None:
    """Import what installed packages name in the group, once, in the order of their names.

    An entry point names a module that registers lowerings when it is imported, or a function in
    it that registers them when it is called without arguments. What has failed once isn't tried
    again in the same process, where parts of it are registered already.

    Raises:
        LoweringError: one of them fails.
    """
    with _LOCK:
        if not _ended:
            _ended.append(None)
            try:
                _ended[0] = _loaded()
            except BaseException:  # an interrupt: nobody knows how it would have ended
                _ended.clear()
                raise
        if _ended[0] is not None:
            raise LoweringError(str(_ended[0])) from _ended[0].__cause__


def _loaded() -> Exception | None:
    """Load all of them, up to the first that fails; gives the error of that."""
    try:
        with outside_of_scopes():
            for entry in sorted(entry_points(group=GROUP), key=_order):
                _load(entry)
    except LoweringError as error:
        return error
    return None


def _order(entry: EntryPoint) -> tuple[str, str, str]:
    return _package(entry), entry.name, entry.value


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def _load(entry: EntryPoint) -> None:
    try:
        loaded = entry.load()
        if entry.attr:
            loaded()
    except (Exception, SystemExit) as error:
        raise LoweringError(
            f"{_package(entry)}: its entry point {entry.name} = {entry.value!r} in {GROUP} can't "
            f"be loaded, since it raised {type(error).__name__}: {error}; mend the package or "
            "uninstall it, and start Python anew."
        ) from error
