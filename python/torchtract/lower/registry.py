"""Which function lowers which aten overload, and how a call's arguments reach it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch._ops import OpOverload

from torchtract.errors import LoweringError
from torchtract.lower.checks import Refusal

__all__ = ["Lowering", "lowering_of", "lowers", "registered"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LOWERINGS: dict[OpOverload, Lowering] = {}
_OF_COMPLEX: dict[OpOverload, Lowering] = {}


@dataclass(frozen=True)
class Lowering:
    """A function that emits NNEF for one overload, bound by the overload's schema.

    Attributes:
        overload: the operator.
        function: takes the builder, then arguments named as in the schema; `x` may stand
            for `self`. Schema arguments that it does not name must have their default
            value where the operator is called.
    """

    overload: OpOverload
    function: Callable[..., Any]
    parameters: tuple[str, ...]

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments for the function.

        Raises:
            Refusal: the call gives an argument that the function does not know.
        """
        known = self.parameters
        bound: dict[str, Any] = {}
        for position, parameter in enumerate(self.overload._schema.arguments):
            name = _python_name(parameter.name, known)
            given = position < len(args) or parameter.name in kwargs
            default = parameter.default_value if parameter.has_default_value() else None
            value = args[position] if position < len(args) else kwargs.get(parameter.name, default)
            if name in known:
                bound[name] = _in_full(value, getattr(parameter, "N", None))
            elif given and value is not None and value != default and parameter.name not in _INERT:
                raise Refusal(f"its argument {parameter.name}={value!r} has no lowering")
        return bound


#: Arguments that say where or how PyTorch stores a tensor and change no value.
_INERT = frozenset({"device", "pin_memory", "layout", "memory_format", "non_blocking", "copy"})


def lowers(
    *overloads: OpOverload, of_complex: bool = False, replace: bool = False
) -> Callable[[_Function], _Function]:
    """Register a function as the lowering of these overloads.

    The function's parameters after the builder are compared with each overload's schema.
    It returns a `Value` for each tensor that the overload returns, of the same type and shape.

    Args:
        overloads: the operators.
        of_complex: whether the function is for calls that take or give tensors of complex
            numbers. Other functions never see such tensors.
        replace: whether they may have lowerings already, which are no longer used.

    Raises:
        LoweringError: an overload has a lowering already, or a parameter is not in its schema.
    """
    table = _OF_COMPLEX if of_complex else _LOWERINGS

    def register(function: _Function) -> _Function:
        for overload in overloads:
            if not isinstance(overload, OpOverload):
                raise LoweringError(
                    f"@lowers({overload}): can't be registered, since it names no overload; "
                    "write for example aten.mean.dim or aten.relu.default."
                )
            if overload in table and not replace:
                raise LoweringError(
                    f"@lowers({overload}): can't be registered, since "
                    f"{table[overload].function.__qualname__} lowers it already; remove one, or "
                    "register with replace=True."
                )
            parameters = _checked_parameters(overload, function)
            table[overload] = Lowering(overload, function, parameters)
        return function

    return register


def lowering_of(target: Any, of_complex: bool = False) -> Lowering | None:
    """The registered lowering of a node's target, if any; `of_complex` as for `lowers`."""
    return (_OF_COMPLEX if of_complex else _LOWERINGS).get(target)


def registered() -> frozenset[OpOverload]:
    """All overloads that have a lowering."""
    return frozenset(_LOWERINGS) | frozenset(_OF_COMPLEX)


def _checked_parameters(overload: OpOverload, function: Callable[..., Any]) -> tuple[str, ...]:
    names = tuple(inspect.signature(function).parameters)[1:]
    schema = [_python_name(a.name, names) for a in overload._schema.arguments]
    unknown = [name for name in names if name not in schema]
    if unknown:
        raise LoweringError(
            f"@lowers({overload}): {function.__qualname__} can't be registered, since its "
            f"parameter {unknown[0]!r} is not in the schema {overload._schema}; "
            "name the parameters after the builder as the schema does (x for self)."
        )
    return names


def _in_full(value: Any, length: int | None) -> Any:
    """A list of fixed length (`int[2] stride`) where the call gives one number for all of it."""
    if length is None or isinstance(value, bool) or value is None:
        return value
    if not isinstance(value, (list, tuple)):
        return [value] * length
    return list(value) * length if len(value) == 1 else list(value)


def _python_name(schema_name: str, known: tuple[str, ...]) -> str:
    """`x` for `self`; a trailing underscore for names that Python reserves (`from_`)."""
    if schema_name in ("self", "input") and schema_name not in known:
        return "x"
    return f"{schema_name}_" if f"{schema_name}_" in known else schema_name
