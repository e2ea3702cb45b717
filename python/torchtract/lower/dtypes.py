"""Element types: PyTorch's beside tract's names, and PyTorch's promotion rules."""

from __future__ import annotations

import sympy
import torch

from torchtract.lower.checks import Refusal
from torchtract.lower.value import Fact

__all__ = ["common_dtype", "datum_type"]

_DATUM_TYPES = {
    torch.bool: "bool",
    torch.uint8: "u8",
    torch.uint16: "u16",
    torch.uint32: "u32",
    torch.uint64: "u64",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.float16: "f16",
    torch.float32: "f32",
    torch.float64: "f64",
}


def datum_type(dtype: torch.dtype) -> str:
    """tract's name of an element type.

    Raises:
        Refusal: tract has no such type.
    """
    if dtype not in _DATUM_TYPES:
        raise Refusal(f"tract has no element type for {dtype}")
    return _DATUM_TYPES[dtype]


def common_dtype(*operands: Fact | complex | sympy.Basic) -> torch.dtype:
    """The type that PyTorch computes in: tensors with a shape rule over scalars and numbers."""
    examples = [_example(operand) for operand in operands]
    state: torch.Tensor | complex = examples[0]
    dtype = torch.result_type(state, state)
    for example in examples[1:]:
        dtype = torch.result_type(state, example)
        state = _of_same_category(dtype, state, example)
    return dtype


def _example(operand: Fact | complex | sympy.Basic) -> torch.Tensor | complex:
    if isinstance(operand, Fact):
        return torch.empty((1,) * operand.rank, dtype=operand.dtype, device="meta")
    if isinstance(operand, sympy.Basic):
        return (1 if operand.is_integer else 1.0) if isinstance(operand, sympy.Expr) else True
    return operand


def _of_same_category(
    dtype: torch.dtype, a: torch.Tensor | complex, b: torch.Tensor | complex
) -> torch.Tensor:
    rank = max(x.dim() if isinstance(x, torch.Tensor) else 0 for x in (a, b))
    return torch.empty((1,) * rank, dtype=dtype, device="meta")
