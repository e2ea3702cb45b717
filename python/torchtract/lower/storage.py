"""How a tensor lies in memory, which the graph doesn't know: its tensors are their elements."""

from __future__ import annotations

from typing import Any

import sympy
import torch

__all__ = ["fills_memory"]


def fills_memory(tensor: Any) -> bool:
    """Whether a (fake) tensor's elements are all that is in its memory, in order; or no tensor."""
    if not isinstance(tensor, torch.Tensor):
        return True
    step = sympy.Integer(1)
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if _expression(size) != 1 and sympy.expand(_expression(stride) - step) != 0:
            return False
        step = step * _expression(size)
    held = _expression(tensor.untyped_storage().nbytes())
    begins = _expression(tensor.storage_offset())
    return bool(begins == 0 and sympy.expand(held - step * tensor.element_size()) == 0)


def _expression(size: Any) -> sympy.Expr:
    return size.node.expr if isinstance(size, torch.SymInt) else sympy.sympify(size)
