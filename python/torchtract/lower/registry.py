"""Which function lowers which overload, and how a call's arguments reach it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch._library.custom_ops import CustomOpDef
from torch._ops import OpOverload, OpOverloadPacket

from torchtract.errors import LoweringError
from torchtract.lower import entries
from torchtract.lower.checks import Refusal

__all__ = ["Lowering", "lowering_of", "lowers", "registered"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Lowering:
    """A function that emits NNEF for one overload, bound by the overload's schema.

    Attributes:
        overload: the operator.
        function: takes the builder, then arguments named as in the schema; `x` may stand
            for `self`. Schema arguments that it does not name must have their default
            value where the operator is called.
        of_storage: whether the operator reads the memory of its tensors, whatever their shapes.
    """

    overload: OpOverload
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    of_storage: bool = False

    @property
    def where(self) -> str:
        """The function's name, and where it is written."""
        function = inspect.unwrap(self.function)
        code = getattr(function, "__code__", None)
        at = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        return f"{getattr(function, '__qualname__', function)}{at}"

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments for the function.

        Raises:
            Refusal: the call gives an argument that the function does not know.
        """
        known = self.parameters
        bound: dict[str, Any] = {}
        for position, parameter in enumerate(self.overload._schema.arguments):
            name = _python_name(parameter.name, self.overload, known)
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
    *operators: OpOverload | CustomOpDef,
    of_complex: bool = False,
    of_storage: bool = False,
    replace: bool = False,
) -> Callable[[_Function], _Function]:
    """Register a function as the lowering of these operators.

    Its first parameter is the builder; the others are compared with each operator's schema. It
    returns a `Value` for each tensor that the operator gives, of the same type and shape.

    Args:
        operators: overloads (`aten.relu.default`, `torch.ops.my_library.swish.default`), or what
            `torch.library.custom_op` made.
        of_complex: whether the function is for calls that take or give tensors of complex
            numbers. Other functions never see such tensors.
        of_storage: whether the operators read the memory of a tensor, whatever its shape. Then
            the function gets those tensors only whose elements are all that is in it, in order.
        replace: whether it takes the place of the built-in lowering, or of any other. Among
            several that say so, the last one holds.

    Raises:
        LoweringError: an operator has a lowering already, or writes to its arguments, or the
            function's parameters don't fit the schema.
    """

    def register(function: _Function) -> _Function:
        for operator in operators:
            overload = _overload_of(operator)
            parameters = _checked_parameters(overload, function)
            lowering = Lowering(overload, function, parameters, of_storage)
            entries.register((overload, of_complex), lowering, replace, f"@lowers({overload})")
        return function

    return register


def lowering_of(target: Any, of_complex: bool = False) -> Lowering | None:
    """The lowering of an overload that holds here, if any; `of_complex` as for `lowers`."""
    lowering: Lowering | None = entries.find((target, of_complex))
    return lowering


def registered() -> frozenset[OpOverload]:
    """All overloads that have a lowering here."""
    return frozenset(key[0] for key in entries.all_keys() if isinstance(key, tuple))


def _overload_of(operator: Any) -> OpOverload:
    if isinstance(operator, CustomOpDef):
        operator = operator._opoverload  # noqa: SLF001  (or by its name, which is private too)
    if not isinstance(operator, OpOverload):
        raise LoweringError(
            f"@lowers({operator}): can't be registered, since it names no overload; "
            f"write for example {_overloads_text(operator)}."
        )
    if operator._schema.is_mutable:
        raise LoweringError(
            f"@lowers({operator}): can't be registered, since the operator writes to its "
            "arguments, and NNEF has values only; let it return a new tensor, with "
            "mutates_args=()."
        )
    return operator


def _overloads_text(operator: Any) -> str:
    if isinstance(operator, OpOverloadPacket):
        return " or ".join(f"{operator}.{name}" for name in operator.overloads()[:2])
    return "aten.mean.dim or aten.relu.default"


def _checked_parameters(overload: OpOverload, function: Callable[..., Any]) -> tuple[str, ...]:
    names = tuple(inspect.signature(function).parameters)[1:]
    arguments = {_python_name(a.name, overload, names): a for a in overload._schema.arguments}
    unknown = [name for name in names if name not in arguments]
    missing = [
        name
        for name, argument in arguments.items()
        if name not in names and not argument.has_default_value() and argument.name not in _INERT
    ]
    if unknown or missing:
        problem = (
            f"its parameter {unknown[0]!r} is not in the schema"
            if unknown
            else f"it has no parameter {missing[0]!r}, which each call gives by the schema"
        )
        raise LoweringError(
            f"@lowers({overload}): {function.__qualname__} can't be registered, since "
            f"{problem} {overload._schema}; name the parameters after the builder as the schema "
            "does (x for self)."
        )
    return names


def _in_full(value: Any, length: int | None) -> Any:
    """A list of fixed length (`int[2] stride`) where the call gives one number for all of it."""
    if length is None or isinstance(value, bool) or value is None:
        return value
    if not isinstance(value, (list, tuple)):
        return [value] * length
    return list(value) * length if len(value) == 1 else list(value)


def _python_name(schema_name: str, overload: OpOverload, known: tuple[str, ...]) -> str:
    """`x` for `self`; a trailing underscore for names that Python reserves (`from_`)."""
    stands_for_self = schema_name in ("self", "input") and schema_name not in known
    if stands_for_self and all(a.name != "x" for a in overload._schema.arguments):
        return "x"
    return f"{schema_name}_" if f"{schema_name}_" in known else schema_name
