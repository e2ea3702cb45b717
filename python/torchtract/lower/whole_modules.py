"""Lowerings of whole modules: one function for all modules of a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch._ops import OpOverload

from torchtract.errors import LoweringError
from torchtract.lower import entries
from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal
from torchtract.lower.registry import Lowering
from torchtract.lower.value import Size, Value
from torchtract.whole_modules import ModuleCall, call_of, operator_of

__all__ = ["lowers_module", "whole_modules_of"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
#: What a subclass may define, besides special methods, without computing something else.
_HARMLESS = frozenset({"extra_repr"})


def lowers_module(
    *classes: type[torch.nn.Module], replace: bool = False
) -> Callable[[_Function], _Function]:
    """Register a function as the lowering of all modules of these classes.

    Such a module is not traced: each call of it is one call of the function, which gets the
    builder, the module, and what `forward` gets, under `forward`'s names: a `Value` for each
    tensor, a size for each whole number, and `forward`'s default for what the call leaves out.
    It returns what `forward` returns with a `Value` for each tensor, or a tuple of these.
    `b.constant(module.weight)` is a weight of the module.

    Modules of a subclass are lowered by it too, as long as the subclass, or the module itself,
    has no method of its own in place of one of the class.

    Args:
        classes: of modules.
        replace: whether it takes the place of any other function; as for `lowers`.

    Raises:
        LoweringError: one is no class of modules, has a lowering already, or its `forward` has
            other parameters.
    """
    for kind in classes:
        if torch.nn.Module not in getattr(kind, "__mro__", ()):
            raise LoweringError(
                f"@lowers_module({kind!r}): can't be registered, since it is no class of "
                "modules; name a subclass of torch.nn.Module."
            )

    def register(function: _Function) -> _Function:
        for kind in classes:
            _register(kind, function, replace)
        return function

    return register


def _register(kind: type[torch.nn.Module], function: Callable[..., Any], replace: bool) -> None:
    where = f"@lowers_module({kind.__qualname__})"
    _check_parameters(kind, function, where)

    @functools.wraps(function)
    def lowering(
        b: Builder, tensors: list[Value], weights: list[Value], sizes: list[Size], call: int
    ) -> tuple[Value, ...]:
        del weights  # constants of the graph, which the function finds by their tensors
        called = call_of(call)
        given, named = _bound(called, kind, function, *called.arguments(tensors, sizes))
        return _tensors(called, function(b, called.module, *given, **named))

    parameters = ("tensors", "weights", "sizes", "call")
    entry = Lowering(operator_of(kind), lowering, parameters)
    for key in (kind, (entry.overload, False)):
        entries.register(key, entry, replace, where)


def whole_modules_of(model: torch.nn.Module) -> dict[torch.nn.Module, OpOverload]:
    """The modules in a model that have a lowering here, and the operator of each."""
    found = {module: _operator(module) for module in model.modules()}
    return {module: operator for module, operator in found.items() if operator is not None}


def _operator(module: torch.nn.Module) -> OpOverload | None:
    for kind in type(module).__mro__:
        entry: Lowering | None = entries.find(kind)
        if entry is not None:
            return entry.overload if _computes_as(module, kind) else None
    return None


def _computes_as(module: torch.nn.Module, kind: type[torch.nn.Module]) -> bool:
    """Whether a module has the methods of a class, of which its own may be a subclass."""
    mro = type(module).__mro__
    own = {name for c in mro[: mro.index(kind)] for name in vars(c)} | vars(module).keys()
    changed = {n for n in own - _HARMLESS if hasattr(getattr(kind, n, None), "__get__")}
    return all(name.startswith("__") for name in changed)


def _bound(
    called: ModuleCall,
    kind: type[torch.nn.Module],
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """A call's arguments as the function takes them: by the names that `forward` has for them."""
    signature = inspect.signature(kind.forward)
    bound = signature.bind(called.module, *args, **kwargs)
    bound.apply_defaults()
    known = _parameters(function)
    if _by_position(known, signature.parameters):
        return bound.args[1:], bound.kwargs
    _, *arguments = bound.arguments.items()
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for name, value in arguments:
        default = signature.parameters[name].default
        if name not in known and not takes_any and value is not default and value != default:
            raise Refusal(f"its lowering takes no argument {name}, which is {value!r} here")
    return (), {name: value for name, value in arguments if takes_any or name in known}


def _tensors(called: ModuleCall, result: Any) -> tuple[Value, ...]:
    """The tensors of a result, in the order in which `forward` returns them."""
    given = list(result) if isinstance(result, (tuple, list)) else [result]
    if not all(isinstance(value, Value) for value in given):
        given = called.output_structure.flatten_up_to(result)
        kinds = zip(given, called.outputs, strict=True)
        given = [value for value, kind in kinds if kind is torch.Tensor]
    return tuple(given)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a lowering takes besides the builder and the module."""
    return dict(list(inspect.signature(function).parameters.items())[2:])


def _by_position(*signatures: Mapping[str, inspect.Parameter]) -> bool:
    """Whether names say nothing: one takes any number of arguments, or forward any keywords."""
    ours, forward = signatures
    return any(p.kind is p.VAR_POSITIONAL for p in (*ours.values(), *forward.values())) or any(
        p.kind is p.VAR_KEYWORD for p in forward.values()
    )


def _check_parameters(
    kind: type[torch.nn.Module], function: Callable[..., Any], where: str
) -> None:
    ours = _parameters(function)
    _, *named = inspect.signature(kind.forward).parameters.items()
    forward = dict(named)
    if _by_position(ours, forward):
        return
    takes_any = any(p.kind is p.VAR_KEYWORD for p in ours.values())
    unknown = [n for n, p in ours.items() if n not in forward and p.kind is not p.VAR_KEYWORD]
    missing = [n for n, p in forward.items() if n not in ours and p.default is p.empty]
    problem = ""
    if unknown:
        problem = f"its parameter {unknown[0]!r} is none of forward's"
    elif missing and not takes_any:
        problem = f"it has no parameter {missing[0]!r}, which each call gives"
    if problem:
        raise LoweringError(
            f"{where}: {function.__qualname__} can't be registered, since {problem}; after the "
            "builder and the module it takes what forward takes: "
            f"({', '.join(map(str, forward.values()))})."
        )
