"""Conditions that lowerings ask for, and the refusal they raise where one does not hold."""

from __future__ import annotations

from typing import Any

import sympy

__all__ = ["Refusal", "require", "static_int", "static_shape"]


class Refusal(Exception):
    """A lowering can't say this call in NNEF. `lower.program` collects these.

    The message completes "aten.name is refused, since ...".
    """


def require(condition: bool, reason: str) -> None:
    """Refuse the call for this reason unless the condition holds."""
    if not condition:
        raise Refusal(reason)


def static_int(value: Any, what: str) -> int:
    """The value as a number known at export.

    Raises:
        Refusal: it depends on a symbol or on data.
    """
    if isinstance(value, (int, sympy.Integer)):
        return int(value)
    raise Refusal(f"{what} is {value}, which is not a fixed number")


def static_shape(shape: tuple[Any, ...], what: str) -> list[int]:
    """A shape without symbols.

    Raises:
        Refusal: one of its sizes depends on a symbol.
    """
    return [static_int(size, f"size {axis} of {what}") for axis, size in enumerate(shape)]
