"""Losses that PyTorch computes in steps of their own, each rounded to the element type."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.elementwise import log1p
from torchtract.lower.ops.reduce import mean, sum_
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

_MEAN, _SUM = 1, 2


@lowers(aten.soft_margin_loss.default)
def soft_margin_loss(b: Builder, x: Value, target: Value, reduction: int = _MEAN) -> Value:
    """soft_margin_loss(Tensor self, Tensor target, int reduction=Mean) -> Tensor"""
    x, target = b.promote(x, target, dtype=b.result.dtype)
    margin = b.emit("exp", b.binary("mul", b.emit("neg", x), target))
    loss = b.cast(log1p(b, x=margin), x.dtype)
    if reduction == _MEAN:
        return mean(b, x=loss)
    return sum_(b, x=loss) if reduction == _SUM else loss
