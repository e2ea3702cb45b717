"""Functions that make numbers of sizes that are symbols, and that no mode of torch can see."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import SymFloat, SymInt
from torch.utils import _pytree as pytree

__all__ = ["symbolic_math"]


def _exp(x: Any) -> Any:
    return math.e ** torch.sym_float(x)


def _pow(x: Any, y: Any) -> Any:
    return torch.sym_float(x) ** torch.sym_float(y)


def _as_tensor(original: Callable[..., Any], data: Any, *args: Any, **kwargs: Any) -> Any:
    symbolic = any(isinstance(n, (SymInt, SymFloat)) for n in pytree.tree_leaves(data))
    if symbolic and not args:
        return torch.tensor(data, **kwargs)
    return original(data, *args, **kwargs)


#: Those that torch.export can keep in a program.
_ON_SYMBOLS: dict[str, Callable[..., Any]] = {
    "sqrt": torch.sym_sqrt,
    "exp": _exp,
    "pow": _pow,
    "fabs": lambda x: abs(torch.sym_float(x)),
}


@contextmanager
def symbolic_math() -> Iterator[None]:
    """`math.sqrt(x.shape[1])` and `torch.as_tensor(x.shape[1])` stay expressions while tracing."""
    originals = {name: getattr(math, name) for name in _ON_SYMBOLS}
    for name, original in originals.items():
        setattr(math, name, _either(original, _ON_SYMBOLS[name]))
    try:
        with patch.object(torch, "as_tensor", functools.partial(_as_tensor, torch.as_tensor)):
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
