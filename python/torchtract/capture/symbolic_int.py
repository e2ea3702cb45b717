"""`int()`, `float()` and `range()` of sizes and of what tensors hold, kept while tracing.

Python lets `int(x)` give nothing but a number, so `int(x.shape[1] / 2)` would fix a size, and
`int(lengths.max())` has none to give; and `range(0, length, chunk)` fixes all three. In modules of
the user's that need it, the names stand for functions like them while torch.export traces.
"""

from __future__ import annotations

import builtins
import linecache
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import sympy
import torch
from torch import SymFloat, SymInt

__all__ = ["modules_of", "symbolic_int"]

# A range of steps of 1 has as many as its size.
_CALL = re.compile(r"\b(int|float)\b|\brange\([^,]+,[^,]+,")


class _OnSymbols(type):
    """Of a class that is a builtin one, and is called like it."""

    builtin: type
    symbol: type
    of_symbol: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        number = args[0] if len(args) == 1 and not kwargs else None
        if isinstance(number, torch.Tensor):
            number = number.item()
        if isinstance(number, (SymInt, SymFloat)):
            return cls.of_symbol(number)
        return cls.builtin(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, (cls.builtin, cls.symbol))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.builtin)


class _Int(int, metaclass=_OnSymbols):
    builtin, symbol = builtins.int, SymInt
    of_symbol = staticmethod(torch.sym_int)


class _Float(float, metaclass=_OnSymbols):
    builtin, symbol = builtins.float, SymFloat
    of_symbol = staticmethod(torch.sym_float)


def _range(*bounds: Any) -> Any:
    """Python's own, or the numbers in it where a symbolic step has a fixed number of places."""
    if len(bounds) == 3 and isinstance(bounds[2], SymInt):
        start, stop, step = (b.node.expr if isinstance(b, SymInt) else b for b in bounds)
        count = sympy.cancel((stop - start) / step)
        if count.is_Integer:
            return [bounds[0] + k * bounds[2] for k in range(count)]
    return range(*bounds)


_STANDING: dict[str, Any] = {"int": _Int, "float": _Float, "range": _range}


@contextmanager
def symbolic_int(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Let these names of modules keep symbols, but those that a module has of its own."""
    with ExitStack() as stack:
        for module in modules:
            for name, standing in _STANDING.items():
                if name not in vars(module):
                    stack.enter_context(patch.object(module, name, standing, create=True))
        yield


def modules_of(model: torch.nn.Module, line: str | None) -> frozenset[ModuleType]:
    """The modules to which a line belongs that calls one of these.

    Args:
        model: whose classes' modules they are where the line is in no file, as in a notebook.
        line: `file:line: code` of the user's.
    """
    file, _, rest = (line or "").partition(":")
    number, _, _ = rest.partition(":")
    if not number.isdecimal() or not _CALL.search(linecache.getline(file, int(number))):
        return frozenset()
    loaded = list(sys.modules.items())
    found = [m for _, m in loaded if getattr(m, "__file__", None) == file]
    names = {type(module).__module__ for module in model.modules()}
    return frozenset(found or [m for name, m in loaded if name in names and name != "builtins"])
