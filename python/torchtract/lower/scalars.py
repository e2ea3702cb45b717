"""Numbers computed from sizes (`S / 2`, `S ** -0.5`, `S > 8`) as operations on scalars.

Python computes them in double precision, and so does the graph; only then are they rounded to
the element type of the tensor that they meet.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import sympy
import torch
from sympy.core.relational import Relational
from torch.utils._sympy.functions import (
    FloatPow,
    FloatTrueDiv,
    IntTrueDiv,
    Max,
    Min,
    OpaqueUnaryFn_sqrt,
    ToFloat,
)

from torchtract.lower.checks import Refusal
from torchtract.lower.value import Fact, Value

if TYPE_CHECKING:
    from torchtract.lower.emitter import Emitter

__all__ = ["computed_scalar", "is_whole"]

_BINARY: dict[type, str] = {
    FloatPow: "pow",
    FloatTrueDiv: "div",
    IntTrueDiv: "div",
    Max: "max",
    Min: "min",
    sympy.Add: "add",
    sympy.Mul: "mul",
    sympy.Pow: "pow",
}
_UNARY: dict[type, str] = {OpaqueUnaryFn_sqrt: "sqrt", sympy.Abs: "abs"}
_COMPARE: dict[type, str] = {
    sympy.Eq: "eq",
    sympy.Ne: "ne",
    sympy.Lt: "lt",
    sympy.Le: "le",
    sympy.Gt: "gt",
    sympy.Ge: "ge",
}
_FLOATS = (ToFloat, IntTrueDiv, FloatTrueDiv, FloatPow, sympy.Float, *_UNARY)


def is_whole(number: sympy.Basic) -> bool:
    """Whether Python has an int here, which is a size, and no float or bool."""
    return isinstance(number, sympy.Expr) and bool(number.is_integer)


def computed_scalar(b: Emitter, number: sympy.Basic) -> Value:
    """A float of sizes as a rank-0 float64 tensor, or a condition on sizes as a bool.

    Raises:
        Refusal: Python rounds it to digits, or asks for something else that tract can't.
    """
    if isinstance(number, Relational):
        return _condition(b, number)
    if not number.free_symbols:
        return b.scalar(number, torch.float64)
    if is_whole(number):
        return b.emit("tract_core_cast", _hidden(b, number), like=_DOUBLE, to=torch.float64)
    if isinstance(number, ToFloat):
        return computed_scalar(b, number.args[0])
    if isinstance(number, sympy.Symbol):
        raise Refusal(f"it takes {number}, a number of a tensor's that Python code read by item()")
    operands = [computed_scalar(b, part) for part in number.args]
    if type(number) in _UNARY:
        return b.emit(_UNARY[type(number)], *operands)
    if type(number) in _BINARY:
        op = _BINARY[type(number)]
        return functools.reduce(lambda x, y: b.emit(op, x, y), operands)
    raise Refusal(f"the number {number} of its arguments has no counterpart in tract")


_DOUBLE = Fact(torch.float64, ())


def _hidden(b: Emitter, size: sympy.Expr) -> Value:
    """A size as an int64 whose expression tract doesn't see.

    tract 0.23.9 goes on with expressions through operations on floats and takes half of 7
    for 3. Behind a bitwise operation it doesn't see them.
    """
    number = b.scalar(size, torch.int64)
    return b.emit("tract_core_bitand", number, number)


def _condition(b: Emitter, condition: Relational) -> Value:
    if condition.atoms(*_FLOATS):
        raise Refusal(f"it depends on {condition}, a comparison of floating-point numbers")
    operands = [_hidden(b, side) for side in condition.args]
    return b.emit(_COMPARE[type(condition)], *operands, like=Fact(torch.bool, ()))
