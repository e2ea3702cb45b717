"""Elementwise arithmetic and functions of one, two and three tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

#: Functions that tract has by one name, on floating-point tensors.
_FLOAT_FUNCTIONS = {
    aten.acos.default: "acos",
    aten.exp.default: "exp",
    aten.rsqrt.default: "rsqrt",
    aten.sqrt.default: "sqrt",
    aten.tanh.default: "tanh",
}


def _float_function(op: str) -> Callable[[Builder, Value], Value]:
    def function(b: Builder, x: Value) -> Value:
        return b.emit(op, b.cast(x, b.result.dtype))

    return function


for _overload, _op in _FLOAT_FUNCTIONS.items():
    lowers(_overload)(_float_function(_op))


@lowers(aten.add.Tensor, aten.add.Scalar)
def add(b: Builder, x: Value, other: Operand, alpha: Operand = 1) -> Value:
    """add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    x, other = b.promote(x, other, dtype=b.result.dtype)
    return b.binary("add", x, _scaled(b, other, alpha))


def _scaled(b: Builder, x: Value, factor: Operand) -> Value:
    return x if factor == 1 else b.binary("mul", x, b.scalar(factor, x.dtype))
