"""Identifiers of an NNEF graph: which are valid, how to make them from any name, unique ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torchtract.errors import FormatError

__all__ = ["Names", "check_identifier", "identifier"]

_DOCUMENT = ("version", "extension", "graph", "fragment")
_TYPES = ("tensor", "integer", "scalar", "logical", "string")
_EXPRESSIONS = ("true", "false", "for", "in", "if", "else", "yield")
_FUNCTIONS = ("length_of", "shape_of", "range_of", "lengthof", "shapeof", "rangeof")
_KEYWORDS = frozenset((*_DOCUMENT, *_TYPES, *_EXPRESSIONS, *_FUNCTIONS))

# tract's parser reads a literal wherever a name starts with one: `inflow` is `inf`, then `low`.
_LITERALS = ("true", "false", "inf")

_VALID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def identifier(name: str) -> str:
    """A valid identifier that resembles any name: `encoder.layers.0` gives `encoder_layers_0`.

    Different names may give the same identifier; `Names.unique` keeps them apart.
    """
    text = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not text or text[0].isdigit() or text.startswith(_LITERALS):
        text = f"_{text}"
    return f"{text}_" if text in _KEYWORDS else text


def check_identifier(name: str, what: str = "name") -> None:
    """Refuse a name that a user gave and that can't stand in an NNEF graph as it is.

    Args:
        name: the name to look at.
        what: what it names (`input name`, `symbol`), for the message.

    Raises:
        FormatError: it is no identifier of NNEF, or tract reads it as something else.
    """
    if not _VALID.fullmatch(name):
        why = "NNEF allows ASCII letters, digits and underscores only, and no digit at the start"
    elif name in _KEYWORDS:
        why = "it is a keyword of NNEF"
    elif name.startswith(_LITERALS):
        why = "tract reads a name that starts with true, false or inf as that literal"
    else:
        return
    raise FormatError(f"{what} {name!r}: is refused, since {why}; use {identifier(name)!r}.")


class Names:
    """Unique identifiers for one graph.

    Args:
        reserved: identifiers that must not be given out, such as the graph's symbols.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(reserved)
        self._next: dict[str, int] = {}

    def reserve(self, name: str) -> None:
        """Keep an identifier for a tensor that must be called so.

        Raises:
            FormatError: it is taken already.
        """
        if name in self._taken:
            raise FormatError(
                f"name {name!r}: is refused, since another tensor or a symbol of the graph has "
                "it already; give each of them a name of its own."
            )
        self._taken.add(name)

    def unique(self, stem: str) -> str:
        """The stem itself the first time, then `stem_1`, `stem_2` ..."""
        name = stem
        while name in self._taken:
            number = self._next.get(stem, 1)
            self._next[stem] = number + 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name
