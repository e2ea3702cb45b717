"""The lowerings, one file for each family of operators. Importing this registers them."""

from torchtract.lower.ops import (
    activation,
    adaptive_pool,
    compare,
    conv,
    create,
    division,
    elementwise,
    norm,
    pad,
    pool,
    reduce,
)

__all__ = [
    "activation",
    "adaptive_pool",
    "compare",
    "conv",
    "create",
    "division",
    "elementwise",
    "norm",
    "pad",
    "pool",
    "reduce",
]
