"""Python's `math` on sizes that are symbols, which it would otherwise make numbers of."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import SymFloat, SymInt

__all__ = ["symbolic_math"]


def _exp(x: Any) -> Any:
    return math.e ** torch.sym_float(x)


def _pow(x: Any, y: Any) -> Any:
    return torch.sym_float(x) ** torch.sym_float(y)


#: Those that torch.export can keep in a program.
_ON_SYMBOLS: dict[str, Callable[..., Any]] = {
    "sqrt": torch.sym_sqrt,
    "exp": _exp,
    "pow": _pow,
    "fabs": lambda x: abs(torch.sym_float(x)),
}


@contextmanager
def symbolic_math() -> Iterator[None]:
    """`math.sqrt(x.shape[1])` stays an expression while tracing; other numbers as ever."""
    originals = {name: getattr(math, name) for name in _ON_SYMBOLS}
    for name, original in originals.items():
        setattr(math, name, _either(original, _ON_SYMBOLS[name]))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(math, name, original)


def _either(original: Callable[..., Any], on_symbols: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def function(*numbers: Any) -> Any:
        symbolic = any(isinstance(n, (SymInt, SymFloat)) for n in numbers)
        return on_symbols(*numbers) if symbolic else original(*numbers)

    return function
