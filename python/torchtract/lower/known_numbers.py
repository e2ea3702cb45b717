"""Whole numbers of sizes that code puts into tensors, computes with and reads again.

`span = torch.tensor(min(x.shape[1], 512))`, then `table[512 - span : 512 + span]`, as in DeBERTa:
torch.export has a new symbol for each number that is read, which is an expression of sizes.
Python code reads the expression itself (`capture.numbers_in_tensors`); this is for scripted code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch._ops import OpOverload

__all__ = ["number_in", "reads_a_number"]

aten = torch.ops.aten

_READS = ("aten::item", "aten::_local_scalar_dense")
_SAME = (aten.alias, aten.clone, aten.detach, aten.detach_, aten.lift_fresh_copy)
_ARITHMETIC: dict[Any, Callable[[Any, Any], Any]] = {
    aten.add: lambda x, y: x + y,
    aten.sub: lambda x, y: x - y,
    aten.mul: lambda x, y: x * y,
    aten.rsub: lambda x, y: y - x,
}


def reads_a_number(call: torch.fx.Node) -> bool:
    """Whether a call is Python's reading of the number in a tensor."""
    return isinstance(call.target, OpOverload) and call.target.name() in _READS


def number_in(operand: Any, size: Callable[[torch.SymInt], sympy.Expr]) -> sympy.Expr | None:
    """The number in a tensor of rank 0, or that an operand is, None where that is no size.

    Args:
        operand: a call of the program, or a number.
        size: gives the expression of a size.
    """
    if isinstance(operand, int):
        return sympy.Integer(operand)
    if not isinstance(operand, torch.fx.Node):
        return None
    value = operand.meta.get("val")
    if isinstance(value, torch.SymInt):
        return size(value)
    whole = isinstance(value, torch.Tensor) and value.dim() == 0 and value.dtype == torch.int64
    operator = getattr(operand.target, "overloadpacket", None)
    if not whole:
        return None
    if operator in (*_SAME, aten.scalar_tensor):
        return number_in(operand.args[0], size)
    if operator not in _ARITHMETIC or len(operand.args) != 2 or operand.kwargs:  # with an alpha
        return None
    x, y = (number_in(part, size) for part in operand.args)
    return None if x is None or y is None else _ARITHMETIC[operator](x, y)
