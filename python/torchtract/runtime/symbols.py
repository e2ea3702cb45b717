"""Values for symbols, as users write them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from torchtract.errors import SymbolError

_LARGEST_SIZE = 2**63 - 1


def symbol_values(symbols: Mapping[str, Any]) -> dict[str, int | str]:
    """Gives each value as the native module takes it: an ``int``, or an expression as ``str``.

    Raises:
        SymbolError: a value is neither, or too large.
    """
    return {name: _value(name, value) for name, value in symbols.items()}


def _value(name: str, value: Any) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise SymbolError(
            f"{name}={value!r}: a {type(value).__name__} is no size: give an int, or an "
            'expression over other symbols such as "2*S"'
        )
    size = operator.index(value)
    if abs(size) > _LARGEST_SIZE:
        raise SymbolError(f"{name}={size}: the largest size is {_LARGEST_SIZE}")
    return size
