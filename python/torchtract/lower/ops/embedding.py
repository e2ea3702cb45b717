"""Rows of a table by number."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value

aten = torch.ops.aten


# The other arguments concern gradients.
@lowers(aten.embedding.default)
def embedding(
    b: Builder,
    weight: Value,
    indices: Value,
    padding_idx: Size = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    """embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1,
    bool scale_grad_by_freq=False, bool sparse=False) -> Tensor
    """
    return b.emit("tract_core_gather", weight, indices, axis=0, like=b.result)
