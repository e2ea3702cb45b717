"""Reductions over axes: sums, means, extremes, truth, variances, norms; and running sums."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.limbs import summed_exactly
from torchtract.lower.ops.compare import clamped
from torchtract.lower.ops.elementwise import product
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value, volume

aten = torch.ops.aten

#: Axes as PyTorch takes them. None and an empty list stand for all of them.
Axes: TypeAlias = "int | list[int] | None"


def _axes(x: Value, dim: Axes) -> list[int]:
    if dim is None or dim == []:
        return list(range(x.rank))
    dims = [dim] if isinstance(dim, int) else dim
    return sorted(d % x.rank for d in dims) if x.rank else []


def _is_empty(x: Value, axes: list[int]) -> bool:
    """Whether there is nothing to reduce, which tract's reductions don't expect."""
    return any(x.shape[a] == 0 for a in axes)


def _accumulated(b: Builder, x: Value) -> Value:
    """In the element type in which the result adds up."""
    dtype = b.result.dtype
    wide = torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else dtype
    return b.cast(x, wide)


# Sums, means and products.


@lowers(aten.sum.default)
@computed_in_float32
def sum_(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """sum(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _sum(b, x, None, False)


@lowers(aten.sum.dim_IntList)
@computed_in_float32
def sum_dim(
    b: Builder, x: Value, dim: Axes, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Value:
    """sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None)"""
    return _sum(b, x, dim, keepdim)


@lowers(aten.count_nonzero.default, aten.count_nonzero.dim_IntList)
def count_nonzero(b: Builder, x: Value, dim: Axes = None) -> Value:
    """count_nonzero(Tensor self, int? dim=None) -> Tensor"""
    return _sum(b, b.cast(x, torch.bool), dim, False)


def _sum(b: Builder, x: Value, dim: Axes, keepdim: bool) -> Value:
    axes, dtype = _axes(x, dim), b.result.dtype
    if _is_empty(x, axes):
        return b.full(0, dtype, b.result.shape)
    # tract adds integers up in 32 bits, which is enough to count.
    if dtype.is_floating_point or x.dtype == torch.bool:
        return b.cast(b.reduce("sum_reduce", _accumulated(b, x), axes, keepdim), dtype)
    x = b.cast(x, dtype) if x.dtype.is_floating_point else x
    return summed_exactly(b, lambda x: b.reduce("sum_reduce", x, axes, keepdim), x, dtype=dtype)


@lowers(aten.mean.default)
@computed_in_float32
def mean(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """mean(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _mean(b, _accumulated(b, x), _axes(x, None), False)


@lowers(aten.mean.dim)
@computed_in_float32
def mean_dim(
    b: Builder, x: Value, dim: Axes, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Value:
    """mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None)"""
    return _mean(b, _accumulated(b, x), _axes(x, dim), keepdim)


def _mean(b: Builder, x: Value, axes: list[int], keepdim: bool) -> Value:
    if _is_empty(x, axes):
        shape = [1 if a in axes else s for a, s in enumerate(x.shape)]
        kept = b.full(math.nan, x.dtype, shape)
        return kept if keepdim else b.squeeze(kept, axes)
    return b.reduce("mean_reduce", x, axes, keepdim)


@lowers(aten.prod.default)
@computed_in_float32
def prod(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """prod(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _prod(b, x, None, False)


@lowers(aten.prod.dim_int)
@computed_in_float32
def prod_dim(
    b: Builder, x: Value, dim: int, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Value:
    """prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None)"""
    return _prod(b, x, dim, keepdim)


def _prod(b: Builder, x: Value, dim: Axes, keepdim: bool) -> Value:
    axes = _axes(x, dim)
    if _is_empty(x, axes):
        return b.full(1, b.result.dtype, b.result.shape)
    if b.result.dtype == torch.bool:
        return b.reduce("all_reduce", b.cast(x, torch.bool), axes, keepdim)
    return b.reduce("tract_core_product_reduce", _accumulated(b, x), axes, keepdim)


@lowers(aten.cumsum.default)
@computed_in_float32
def cumsum(b: Builder, x: Value, dim: int, dtype: torch.dtype | None = None) -> Value:
    """cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor"""
    x = _accumulated(b, x)
    if x.rank == 0:
        return x
    # PyTorch adds up in float64: in float32 long sums, of phases above all, would drift apart.
    wide = b.cast(x, torch.float64) if x.dtype == torch.float32 else x
    y = b.emit("tract_core_cumsum", wide, axis=dim % x.rank, exclusive=False, reverse=False)
    return b.cast(y, x.dtype)


# Extremes and where they are.


@lowers(aten.amax.default)
def amax(b: Builder, x: Value, dim: Axes = None, keepdim: bool = False) -> Value:
    """amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor"""
    return _extreme(b, "max", x, dim, keepdim)


@lowers(aten.amin.default)
def amin(b: Builder, x: Value, dim: Axes = None, keepdim: bool = False) -> Value:
    """amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor"""
    return _extreme(b, "min", x, dim, keepdim)


@lowers(aten.aminmax.default)
def aminmax(
    b: Builder, x: Value, dim: int | None = None, keepdim: bool = False
) -> tuple[Value, Value]:
    """aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)"""
    return _extreme(b, "min", x, dim, keepdim), _extreme(b, "max", x, dim, keepdim)


@lowers(aten.argmax.default)
def argmax(b: Builder, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor"""
    return _position(b, "max", x, dim, keepdim)


@lowers(aten.argmin.default)
def argmin(b: Builder, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor"""
    return _position(b, "min", x, dim, keepdim)


def _extreme(b: Builder, which: str, x: Value, dim: Axes, keepdim: bool) -> Value:
    axes = _axes(x, dim)
    if x.dtype == torch.bool:
        return b.reduce("any_reduce" if which == "max" else "all_reduce", x, axes, keepdim)
    reduced = b.reduce(f"{which}_reduce", x, axes, keepdim)
    if not x.dtype.is_floating_point or not axes:
        return reduced
    # tract begins from the last finite number, which hides infinities beyond it: they show when
    # all numbers are halved. And it leaves out NaN, which zeros in place of numbers add up to.
    limit = torch.finfo(x.dtype).min if which == "max" else torch.finfo(x.dtype).max
    half, two, zero = (b.scalar(number, x.dtype) for number in (0.5, 2, 0))
    halved = b.reduce(f"{which}_reduce", b.binary("mul", x, half), axes, keepdim)
    at_limit = b.binary("eq", reduced, b.scalar(limit, x.dtype), torch.bool)
    reduced = b.where(at_limit, b.binary("mul", halved, two), reduced)
    nan = b.where(b.binary("eq", x, x, torch.bool), zero, x)
    return b.binary("sub", reduced, b.reduce("sum_reduce", nan, axes, keepdim))


def _position(b: Builder, which: str, x: Value, dim: Axes, keepdim: bool) -> Value:
    """Index of the first extreme along an axis, or among all elements. NaN is one."""
    axes = _axes(x, dim)
    if not axes:
        return b.scalar(0, torch.int64)
    x = b.cast(x, torch.uint8) if x.dtype == torch.bool else x  # tract finds those of numbers
    if x.dtype.is_floating_point:
        found = b.binary("eq", x, _extreme(b, which, x, axes, True), torch.bool)
        found = b.binary("or", found, b.binary("ne", x, x, torch.bool))
        which, x = "max", b.cast(found, torch.uint8)
    shape = tuple(1 if a in axes else s for a, s in enumerate(x.shape))
    index = b.emit(f"arg{which}_reduce", x, like=Fact(torch.int64, shape), axes=axes)
    return index if keepdim else b.squeeze(index, axes)


def _register_extreme(packet: Any, which: str) -> None:
    @lowers(packet.default)
    def of_all(b: Builder, x: Value) -> Value:
        return _extreme(b, which, x, None, False)

    @lowers(packet.dim)
    def along(b: Builder, x: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
        return _extreme(b, which, x, dim, keepdim), _position(b, which, x, dim, keepdim)


_register_extreme(aten.max, "max")
_register_extreme(aten.min, "min")


# Truth.


def _register_truth(packet: Any, op: str) -> None:
    def reduced(b: Builder, x: Value, dim: Axes, keepdim: bool) -> Value:
        axes = _axes(x, dim)
        if _is_empty(x, axes):
            return b.full(op == "all_reduce", b.result.dtype, b.result.shape)
        return b.cast(b.reduce(op, b.cast(x, torch.bool), axes, keepdim), b.result.dtype)

    @lowers(packet.default)
    def of_all(b: Builder, x: Value) -> Value:
        return reduced(b, x, None, False)

    @lowers(packet.dim, packet.dims)
    def along(b: Builder, x: Value, dim: Axes = None, keepdim: bool = False) -> Value:
        return reduced(b, x, dim, keepdim)


_register_truth(aten.any, "any_reduce")
_register_truth(aten.all, "all_reduce")


# Variances.


def _register_statistic(packet: Any, root: bool, with_mean: bool) -> None:
    def statistic(b: Builder, x: Value, dim: Axes, correction: float, keepdim: bool) -> Any:
        axes = _axes(x, dim)
        mean = _mean(b, x, axes, keepdim=True)
        spread = _variance(b, x, mean, axes, correction, keepdim)
        if root:
            spread = b.emit("sqrt", spread)
        if not with_mean:
            return spread
        return spread, mean if keepdim else b.squeeze(mean, axes)

    @lowers(packet.default)
    @computed_in_float32
    def of_all(b: Builder, x: Value, unbiased: bool = True) -> Any:
        return statistic(b, x, None, int(unbiased), False)

    @lowers(packet.dim)
    @computed_in_float32
    def along(b: Builder, x: Value, dim: Axes, unbiased: bool = True, keepdim: bool = False) -> Any:
        return statistic(b, x, dim, int(unbiased), keepdim)

    @lowers(packet.correction)
    @computed_in_float32
    def corrected(
        b: Builder,
        x: Value,
        dim: Axes = None,
        correction: float | None = None,
        keepdim: bool = False,
    ) -> Any:
        return statistic(b, x, dim, 1 if correction is None else correction, keepdim)


_register_statistic(aten.var, root=False, with_mean=False)
_register_statistic(aten.std, root=True, with_mean=False)
_register_statistic(aten.var_mean, root=False, with_mean=True)
_register_statistic(aten.std_mean, root=True, with_mean=True)


def _variance(
    b: Builder, x: Value, mean: Value, axes: list[int], correction: float, keepdim: bool
) -> Value:
    centered = b.binary("sub", x, mean)
    squares = product(b, centered, centered)
    if correction == 0 or _is_empty(x, axes):
        return _mean(b, squares, axes, keepdim)
    total = b.reduce("sum_reduce", squares, axes, keepdim)
    return b.binary("div", total, _divisor(b, x, axes, correction))


def _divisor(b: Builder, x: Value, axes: list[int], correction: float) -> Value:
    """Number of elements less the correction, and not below zero."""
    count: Size = volume([x.shape[a] for a in axes])
    if not isinstance(count, sympy.Expr):
        return b.scalar(max(count - correction, 0), x.dtype)
    rest = b.binary("sub", b.scalar(count, x.dtype), b.scalar(correction, x.dtype))
    return clamped(b, rest, 0, None, x.dtype)


# Norms.


@lowers(aten.linalg_vector_norm.default)
@computed_in_float32
def linalg_vector_norm(
    b: Builder,
    x: Value,
    ord: float = 2,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Value:
    """linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, ...)"""
    return _norm(b, _accumulated(b, x), ord, dim, keepdim)


@lowers(aten.norm.Scalar)
@computed_in_float32
def norm(b: Builder, x: Value, p: float = 2) -> Value:
    """norm.Scalar(Tensor self, Scalar p=2) -> Tensor"""
    return _norm(b, x, p, None, False)


@lowers(aten.norm.ScalarOpt_dim)
@computed_in_float32
def norm_dim(b: Builder, x: Value, p: float | None, dim: Axes, keepdim: bool = False) -> Value:
    """norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor"""
    return _norm(b, x, 2 if p is None else p, dim, keepdim)


def _norm(b: Builder, x: Value, p: float, dim: Axes, keepdim: bool) -> Value:
    axes = _axes(x, dim)
    if _is_empty(x, axes):
        return b.full(0, x.dtype, b.result.shape)
    if p == 2:
        return b.emit("sqrt", b.reduce("sum_reduce", product(b, x, x), axes, keepdim))
    if p == 0:
        count = b.cast(b.cast(x, torch.bool), x.dtype)
        return b.reduce("sum_reduce", count, axes, keepdim)
    size = b.emit("abs", x)
    if math.isinf(p):
        return _extreme(b, "max" if p > 0 else "min", size, axes, keepdim)
    if p == 1:
        return b.reduce("sum_reduce", size, axes, keepdim)
    powers = b.binary("pow", size, b.scalar(p, x.dtype))
    total = b.reduce("sum_reduce", powers, axes, keepdim)
    return b.binary("pow", total, b.scalar(1 / p, x.dtype))


@lowers(aten.logsumexp.default, aten.special_logsumexp.default)
@computed_in_float32
def logsumexp(b: Builder, x: Value, dim: Axes, keepdim: bool = False) -> Value:
    """logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor"""
    axes = _axes(x, dim)
    if _is_empty(x, axes):
        return b.full(-math.inf, b.result.dtype, b.result.shape)
    x = _accumulated(b, x)
    # An infinite maximum would give inf - inf.
    limit = torch.finfo(x.dtype).max
    highest = clamped(b, b.reduce("max_reduce", x, axes, keepdim=True), -limit, limit, x.dtype)
    powers = b.emit("exp", b.binary("sub", x, highest))
    total = b.emit("log", b.reduce("sum_reduce", powers, axes, keepdim))
    return b.binary("add", total, highest if keepdim else b.squeeze(highest, axes))
