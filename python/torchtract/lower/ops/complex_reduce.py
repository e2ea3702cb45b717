"""Products of complex numbers along an axis of fixed size."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.complex_numbers import Parts, operand_parts, times
from torchtract.lower.ops.complex_parts import parts_of
from torchtract.lower.ops.shape import axis_of
from torchtract.lower.pairs import complex_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, volume

aten = torch.ops.aten


@lowers(aten.prod.default, of_complex=True)
def prod(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """prod(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    flat = [volume(x.shape)]
    x = complex_of(*(b.reshape(part, flat) for part in operand_parts(b, x)))
    return _product_along(b, x, 0, keepdim=False)


@lowers(aten.prod.dim_int, of_complex=True)
def prod_dim(
    b: Builder, x: Value, dim: int, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Value:
    """prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None)
    -> Tensor
    """
    x = complex_of(*operand_parts(b, x))
    return _product_along(b, x, axis_of(dim, x.rank), keepdim) if x.rank else x


def _product_along(b: Builder, x: Value, axis: int, keepdim: bool) -> Value:
    """One half of the axis times the other, until one number is left."""
    require(b.result.dtype.is_complex, "products of real parts have no lowering")
    parts = parts_of(b, x)
    count = static_int(x.shape[axis], "the number of complex factors")
    if count == 0:
        return complex_of(*(b.full(n, parts[0].dtype, b.result.shape) for n in (1, 0)))
    while count > 1:
        half = count // 2
        first, second = _slices(b, parts, axis, 0, half), _slices(b, parts, axis, half, 2 * half)
        products = parts_of(b, times(b, first, second))
        parts = _joined(b, products, _slices(b, parts, axis, 2 * half, count), axis)
        count -= half
    return complex_of(*(part if keepdim else b.squeeze(part, [axis]) for part in parts))


@lowers(aten.cumprod.default, of_complex=True)
def cumprod(b: Builder, x: Value, dim: int, dtype: torch.dtype | None = None) -> Value:
    """cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor"""
    parts = operand_parts(b, x)
    if x.rank == 0:
        return complex_of(*parts)
    axis = axis_of(dim, x.rank)
    count = static_int(x.shape[axis], "the number of complex factors")
    step = 1
    while step < count:
        # Each product of so many factors times that of as many before them.
        later = _slices(b, parts, axis, step, count)
        products = parts_of(b, times(b, later, _slices(b, parts, axis, 0, count - step)))
        parts = _joined(b, _slices(b, parts, axis, 0, step), products, axis)
        step *= 2
    return complex_of(*parts)


def _slices(b: Builder, parts: Parts, axis: int, begin: int, end: int) -> Parts:
    return b.slice(parts[0], axis, begin, end), b.slice(parts[1], axis, begin, end)


def _joined(b: Builder, first: Parts, second: Parts, axis: int) -> Parts:
    if second[0].shape[axis] == 0:
        return first
    return b.concat([first[0], second[0]], axis), b.concat([first[1], second[1]], axis)
