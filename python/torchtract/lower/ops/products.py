"""Products of two tensors, as PyTorch has them where tract would take a short cut.

tract rewrites products by zero, chains of constant factors, and squares of roots, which changes
what they are for numbers out of the usual range.
"""

from __future__ import annotations

import math

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.value import Size, Value, broadcast_shapes

__all__ = ["is_extreme", "product"]


def product(b: Builder, x: Value, y: Value) -> Value:
    """Two tensors of one type multiplied."""
    if x.dtype == torch.bool:
        return b.binary("and", x, y)
    if x.name and x.name == y.name:
        return _squared(b, x)
    if x.dtype.is_floating_point:
        for factor, other in ((x, y), (y, x)):
            if b.uniform(factor) == 0:
                return _times_zero(b, other, broadcast_shapes(x.shape, y.shape))
            if is_extreme(b, factor):
                return _apart(b, other, factor)
    return b.binary("mul", x, y)


def _squared(b: Builder, x: Value) -> Value:
    # tract takes the square of a root for what is under it, where that is below zero too.
    if x.dtype in (torch.float16, torch.float32) and not _is_root(b, x):
        return b.emit("square", x)
    # tract makes a square of x * x; its squares know no integers, and the mean of such
    # squares is one operation that computes float64 in float32. So -(x * -x).
    signed = x if x.dtype.is_signed else b.cast(x, torch.int64)
    negative = b.binary("mul", signed, b.emit("neg", signed))
    return b.cast(b.emit("neg", negative), x.dtype)


def _is_root(b: Builder, x: Value) -> bool:
    maker = b.maker(x.name)
    return maker is not None and maker.op in ("pow", "sqrt")


def _times_zero(b: Builder, x: Value, shape: tuple[Size, ...]) -> Value:
    """Zeros, but where x is infinite or NaN: tract would have zeros there too."""
    finite = b.binary("lt", b.emit("abs", x), b.scalar(math.inf, x.dtype), torch.bool)
    zeros = b.where(finite, b.scalar(0, x.dtype), b.scalar(math.nan, x.dtype))
    return b.broadcast(zeros, shape)


def _apart(b: Builder, x: Value, factor: Value) -> Value:
    """A product that is no part of a chain, whose factors tract multiplies ahead.

    These products may leave their range, and tract takes what is zero in float32 for a zero.
    """
    number, least = b.uniform(factor), 2.0 ** -_USUAL[x.dtype]
    assert number is not None
    if x.dtype == torch.float64 and abs(number) < least:
        step, factor = b.scalar(least, x.dtype), b.scalar(number / least, x.dtype)
        x = _apart(b, x, step)
        return product(b, x, factor)
    return b.emit("neg", b.binary("mul", b.emit("neg", x), factor))


#: Powers of two, for each type, that any few of can be multiplied and stay in range.
_USUAL = {torch.float16: 5, torch.float32: 40, torch.float64: 70}


def is_extreme(b: Builder, x: Value) -> bool:
    """Whether it is a number so large or small that a product with another may leave the range."""
    number, limit = b.uniform(x), 2.0 ** _USUAL[x.dtype]
    return number is not None and not 1 / limit <= abs(number) <= limit
