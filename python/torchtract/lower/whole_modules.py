"""Lowerings of whole modules: one function for all modules of a class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils import _pytree as pytree

from torchtract.errors import LoweringError
from torchtract.lower.builder import Builder
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value
from torchtract.whole_modules import call_of, operator_of

__all__ = ["lowers_module"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def lowers_module(
    module_class: type[torch.nn.Module], *, replace: bool = False
) -> Callable[[_Function], _Function]:
    """Register a function as the lowering of all modules of a class, its subclasses among them.

    Such a module is not traced: each call of it is one call of the function, which gets the
    builder, the module, and the arguments of the call as `forward` gets them, with a `Value` for
    each tensor and a size for each whole number. It returns what `forward` returns, with a `Value`
    for each tensor. `b.constant(module.weight)` is a weight of the module.

    Args:
        module_class: the class. A module has the lowering of the nearest class in its bases.
        replace: whether the class may have a lowering already, which is no longer used.

    Raises:
        LoweringError: it is no class of modules, or it has a lowering already.
    """
    if torch.nn.Module not in getattr(module_class, "__mro__", ()):
        raise LoweringError(
            f"@lowers_module({module_class!r}): can't be registered, since it is no class of "
            "modules; name a subclass of torch.nn.Module."
        )

    def register(function: _Function) -> _Function:
        @functools.wraps(function)
        def lowering(
            b: Builder, tensors: list[Value], weights: list[Value], sizes: list[Size], call: int
        ) -> tuple[Value, ...]:
            del weights  # a constant of the graph each, which the function finds by its tensor
            called = call_of(call)
            args, kwargs = called.arguments(tensors, sizes)
            given = pytree.tree_leaves(function(b, called.module, *args, **kwargs))
            return tuple(value for value in given if isinstance(value, Value))

        del lowering.__dict__["__wrapped__"]  # its parameters are the operator's
        lowers(operator_of(module_class), replace=replace)(lowering)
        return function

    return register
