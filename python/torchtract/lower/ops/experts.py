"""Groups of rows times a matrix for each group: how transformers computes its experts.

PyTorch's own `grouped_mm` can only be traced in bfloat16, which tract does not compute in.
"""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.entries import outside_of_scopes
from torchtract.lower.ops.matmul import batched_product
from torchtract.lower.ops.shape import integers
from torchtract.lower.registry import lowering_of, lowers
from torchtract.lower.value import Value

__all__ = ["register_operators_of_transformers"]


def register_operators_of_transformers() -> None:
    """Lower what transformers calls for its experts while it is exported, once it is there."""
    operator = getattr(torch.ops.transformers, "grouped_mm_fallback", None)
    if operator is not None and lowering_of(operator.default) is None:
        with outside_of_scopes():
            lowers(operator.default)(grouped_mm)


def grouped_mm(b: Builder, x: Value, weight: Value, offs: Value) -> Value:
    """transformers::grouped_mm_fallback(Tensor input, Tensor weight, Tensor offs) -> Tensor

    All rows are multiplied with all matrices: how many a group has depends on the data. Rows
    behind the last group, which PyTorch leaves undefined, are zeros.
    """
    groups = static_int(weight.shape[0], "the number of groups")
    require(groups > 0, "there are no groups")
    products = batched_product(b, b.unsqueeze(x, [0]), weight, "mk,kn->mn")
    rows = b.unsqueeze(integers(b, x.shape[0]), [0])
    ends = b.unsqueeze(b.cast(offs, torch.int64), [1])
    ended = b.binary("ge", rows, ends, torch.bool)
    began = b.full(True, torch.bool, [1, 1])
    if groups > 1:
        began = b.concat([b.broadcast(began, [1, x.shape[0]]), b.slice(ended, 0, 0, groups - 1)], 0)
    own = b.binary("and", began, b.emit("not", ended), torch.bool)
    # A choice, not a product: another group's product may be infinite.
    chosen = b.where(b.unsqueeze(own, [2]), products, b.scalar(0, products.dtype))
    return b.reduce("sum_reduce", chosen, [0])
