"""Elements reduced with what is scattered onto them: sums, products, means and extremes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.ops.division import div_mode
from torchtract.lower.ops.scatter import REDUCTIONS, scattered, written
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

#: Writes numbers onto a tensor, at positions that it knows, reduced with what is there.
_Write = Callable[[Value, Operand, "str | None"], Value]


@lowers(aten.scatter_reduce.two)
def scatter_reduce(
    b: Builder,
    x: Value,
    dim: int,
    index: Value,
    src: Value,
    reduce: str,
    include_self: bool = True,
) -> Value:
    """scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *,
    bool include_self=True) -> Tensor
    """

    def write(onto: Value, numbers: Operand, reduction: str | None) -> Value:
        return scattered(b, onto, dim, index, numbers, reduction)

    return _reduced_with(b, x, src, reduce, include_self, write)


@lowers(aten.index_reduce.default)
def index_reduce(
    b: Builder,
    x: Value,
    dim: int,
    index: Value,
    source: Value,
    reduce: str,
    include_self: bool = True,
) -> Value:
    """index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *,
    bool include_self=True) -> Tensor
    """

    def write(onto: Value, numbers: Operand, reduction: str | None) -> Value:
        return written(b, onto, dim, index, numbers, reduction)

    return _reduced_with(b, x, source, reduce, include_self, write)


def _reduced_with(
    b: Builder, x: Value, src: Value, reduce: str, include_self: bool, write: _Write
) -> Value:
    counts = b.full(1, x.dtype, x.shape)
    if not include_self:
        none = b.full(False, torch.bool, x.shape)
        taken = write(none, True, None)
        x = b.where(taken, b.scalar(_neutral(reduce, x.dtype), x.dtype), x)
        counts = b.cast(b.emit("not", taken), x.dtype)
    total = write(x, src, REDUCTIONS[reduce])
    if reduce != "mean":
        return total
    counts = write(counts, 1, "add")
    mode = None if x.dtype.is_floating_point else "floor"
    return div_mode(b, x=total, other=counts, rounding_mode=mode)


def _neutral(reduce: str, dtype: torch.dtype) -> float | int:
    """The number that changes nothing in a reduction."""
    if reduce not in ("amax", "amin"):
        return int(reduce == "prod")
    if dtype == torch.bool:
        return reduce == "amin"
    if dtype.is_floating_point:
        return -math.inf if reduce == "amax" else math.inf
    limits = torch.iinfo(dtype)
    return int(limits.min if reduce == "amax" else limits.max)
