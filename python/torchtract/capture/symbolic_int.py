"""`int()` and `float()` of sizes and of what tensors hold, kept as expressions while tracing.

Python lets `int(x)` give nothing but a number, so `int(x.shape[1] / 2)` would fix a size, and
`int(lengths.max())` has none to give. In modules of the user's that need it, the two names stand
for functions like them while torch.export traces.
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

import torch
from torch import SymFloat, SymInt

__all__ = ["modules_of", "symbolic_int"]

_CALL = re.compile(r"\b(int|float)\b")


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


@contextmanager
def symbolic_int(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Let these names of modules keep symbols, but those that a module has of its own."""
    with ExitStack() as stack:
        for module in modules:
            for name, kind in (("int", _Int), ("float", _Float)):
                if name not in vars(module):
                    stack.enter_context(patch.object(module, name, kind, create=True))
        yield


def modules_of(model: torch.nn.Module, line: str | None) -> frozenset[ModuleType]:
    """The modules that define a model's classes, and the one that holds a line, if they call these.

    Args:
        model: the module.
        line: `file:line: code` of the user's.
    """
    file = (line or "").partition(":")[0]
    names = {type(module).__module__ for module in model.modules()}
    found = (
        module
        for name, module in list(sys.modules.items())
        if (name in names or (file and getattr(module, "__file__", None) == file))
        and name.partition(".")[0] not in ("torch", "builtins")
    )
    return frozenset(module for module in found if _calls(module))


def _calls(module: ModuleType) -> bool:
    """Whether the text of a module calls one of these, as far as it is known."""
    lines = linecache.getlines(vars(module).get("__file__") or "")
    return not lines or any(_CALL.search(line) for line in lines)
