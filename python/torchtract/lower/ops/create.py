"""Tensors made from sizes and numbers, triangles of tensors, copies and casts."""

from __future__ import annotations

from typing import Any

import sympy
import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.shape import integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value

aten = torch.ops.aten

# The same number everywhere.


@lowers(aten.full.default)
def full(b: Builder, size: list[Size], fill_value: Operand, dtype: Any = None) -> Value:
    """full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, fill_value)


@lowers(aten.full_like.default)
def full_like(b: Builder, x: Value, fill_value: Operand, dtype: Any = None) -> Value:
    """full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, fill_value)


@lowers(aten.new_full.default)
def new_full(
    b: Builder, x: Value, size: list[Size], fill_value: Operand, dtype: Any = None
) -> Value:
    """new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None)"""
    return _filled(b, fill_value)


@lowers(aten.fill.Scalar, aten.fill.Tensor)
def fill(b: Builder, x: Value, value: Operand) -> Value:
    """fill.Scalar(Tensor self, Scalar value) -> Tensor"""
    return _filled(b, value)


@lowers(aten.zeros.default)
def zeros(b: Builder, size: list[Size], dtype: Any = None) -> Value:
    """zeros(SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 0)


@lowers(aten.ones.default)
def ones(b: Builder, size: list[Size], dtype: Any = None) -> Value:
    """ones(SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 1)


@lowers(aten.zeros_like.default)
def zeros_like(b: Builder, x: Value, dtype: Any = None) -> Value:
    """zeros_like(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 0)


@lowers(aten.ones_like.default)
def ones_like(b: Builder, x: Value, dtype: Any = None) -> Value:
    """ones_like(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 1)


@lowers(aten.new_zeros.default)
def new_zeros(b: Builder, x: Value, size: list[Size], dtype: Any = None) -> Value:
    """new_zeros(Tensor self, SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 0)


@lowers(aten.new_ones.default)
def new_ones(b: Builder, x: Value, size: list[Size], dtype: Any = None) -> Value:
    """new_ones(Tensor self, SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 1)


# Zero is as good a value as any for memory that nothing has been written to.
@lowers(aten.empty.memory_format)
def empty(b: Builder, size: list[Size], dtype: Any = None) -> Value:
    """empty.memory_format(SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 0)


@lowers(aten.empty_like.default)
def empty_like(b: Builder, x: Value, dtype: Any = None) -> Value:
    """empty_like(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 0)


@lowers(aten.new_empty.default)
def new_empty(b: Builder, x: Value, size: list[Size], dtype: Any = None) -> Value:
    """new_empty(Tensor self, SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, 0)


@lowers(aten.scalar_tensor.default, torch.ops.prims.scalar_tensor.default)
def scalar_tensor(b: Builder, s: Operand, dtype: Any = None) -> Value:
    """scalar_tensor(Scalar s, *, ScalarType? dtype=None) -> Tensor"""
    return _filled(b, s)


def _filled(b: Builder, number: Operand) -> Value:
    return b.broadcast(b.tensor(number, b.result.dtype), b.result.shape)


# Ranges.


@lowers(aten.arange.default)
def arange(b: Builder, end: Any, dtype: Any = None) -> Value:
    """arange(Scalar end, *, ScalarType? dtype=None) -> Tensor"""
    return _range(b, 0, end, 1)


@lowers(aten.arange.start)
def arange_start(b: Builder, start: Any, end: Any, dtype: Any = None) -> Value:
    """arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None) -> Tensor"""
    return _range(b, start, end, 1)


@lowers(aten.arange.start_step)
def arange_start_step(b: Builder, start: Any, end: Any, step: Any = 1, dtype: Any = None) -> Value:
    """arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None)"""
    return _range(b, start, end, step)


def _range(b: Builder, start: Any, end: Any, step: Any) -> Value:
    if all(isinstance(n, (int, float)) for n in (start, end, step)):
        return b.constant(torch.arange(start, end, step, dtype=b.result.dtype))
    start, end, step = (_whole(n) for n in (start, end, step))
    if not all(_is_whole(n) for n in (start, end, step)):
        return _range_of_fractions(b, start, end, step)
    step = static_int(step, "the step of its range")
    return b.cast(b.range(start, end, step, b.result.shape[0]), b.result.dtype)


def _range_of_fractions(b: Builder, start: Any, end: Any, step: Any) -> Value:
    """Numbers that are the same however they are added up, in float32 up to a million."""
    dtype, count, wide = b.result.dtype, b.result.shape[0], torch.float64
    counts = f"it counts from {start} to {end} in steps of {step}"
    require(dtype.is_floating_point, f"{counts}, and tract counts between whole numbers")
    require(
        dtype in (torch.float32, torch.float64)
        and (_is_whole(start) or _in_sixteenths(start))
        and _in_sixteenths(step),
        f"{counts}, and PyTorch rounds such numbers to {dtype} in a way that depends on the "
        "processor; multiply a range of whole numbers",
    )
    places = b.cast(b.range(0, count, 1, count), wide)
    numbers = b.binary("mul", places, b.scalar(step, wide))
    return b.cast(b.binary("add", numbers, b.scalar(start, wide)), dtype)


def _in_sixteenths(number: Any) -> bool:
    return isinstance(number, (int, float)) and float(16 * number).is_integer()


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) or (isinstance(number, sympy.Expr) and bool(number.is_integer))


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


@lowers(aten.linspace.default)
def linspace(b: Builder, start: Any, end: Any, steps: Any, dtype: Any = None) -> Value:
    """linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None) -> Tensor"""
    ends = [start, end]
    require(not any(isinstance(n, sympy.Expr) for n in ends), "its ends depend on a symbol")
    steps = static_int(steps, "its number of steps")
    return b.constant(torch.linspace(start, end, steps, dtype=b.result.dtype))


@lowers(aten.linspace.Tensor_Tensor, aten.linspace.Tensor_Scalar, aten.linspace.Scalar_Tensor)
def linspace_between(
    b: Builder, start: Operand, end: Operand, steps: Any, dtype: Any = None
) -> Value:
    """linspace.Tensor_Tensor(Tensor start, Tensor end, int steps, *, ScalarType? dtype=None)"""
    dtype = b.result.dtype
    require(
        dtype.is_floating_point,
        "it cuts off fractions of numbers between ends that are known only while running, and "
        "tract's divisions are not rounded in the same way",
    )
    wide = torch.promote_types(dtype, torch.float32)
    start, end = (b.cast(x, wide) for x in b.promote(start, end, dtype=dtype))
    return b.cast(numbers_between(b, start, end, steps, rounded_to=dtype), dtype)


def numbers_between(
    b: Builder, start: Value, end: Value, steps: Any, rounded_to: torch.dtype | None = None
) -> Value:
    """Numbers in equal steps, whose length may have fewer digits than they have."""
    steps, wide = static_int(steps, "its number of steps"), start.dtype
    gap = b.binary("div", b.binary("sub", end, start), b.scalar(max(steps - 1, 1), wide))
    gap = b.cast(b.cast(gap, rounded_to), wide) if rounded_to else gap
    place = torch.arange(steps, dtype=wide)
    # From both ends, as PyTorch counts; a single number is the start.
    ahead = b.binary("add", start, b.binary("mul", gap, b.constant(place)))
    back = b.binary("sub", end, b.binary("mul", gap, b.constant(steps - 1 - place)))
    return b.where(b.constant(place < max(steps // 2, 1)), ahead, back)


@lowers(aten.logspace.default)
def logspace(
    b: Builder, start: Any, end: Any, steps: Any, base: float = 10.0, dtype: Any = None
) -> Value:
    """logspace(Scalar start, Scalar end, int steps, float base=10.0, *, ScalarType? dtype=None)"""
    ends = [start, end]
    require(not any(isinstance(n, sympy.Expr) for n in ends), "its ends depend on a symbol")
    steps = static_int(steps, "its number of steps")
    return b.constant(torch.logspace(start, end, steps, base, dtype=b.result.dtype))


@lowers(aten.logspace.Tensor_Tensor, aten.logspace.Tensor_Scalar, aten.logspace.Scalar_Tensor)
def logspace_between(
    b: Builder, start: Operand, end: Operand, steps: Any, base: float = 10.0, dtype: Any = None
) -> Value:
    """logspace.Tensor_Tensor(Tensor start, Tensor end, int steps, float base=10.0, *, ...)"""
    dtype = b.result.dtype
    wide = torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else torch.float64
    if steps == 1:  # PyTorch rounds the ends only where it computes between them
        wide = torch.float64
        exponents = b.unsqueeze(b.tensor(start, wide), [0])
    else:
        start, end = (b.cast(x, wide) for x in b.promote(start, end, dtype=dtype))
        exponents = numbers_between(b, start, end, steps)
    return b.cast(b.binary("pow", b.scalar(base, wide), exponents), dtype)


@lowers(aten.eye.default)
def eye(b: Builder, n: Size, dtype: Any = None) -> Value:
    """eye(SymInt n, *, ScalarType? dtype=None) -> Tensor"""
    return _diagonal(b)


@lowers(aten.eye.m)
def eye_m(b: Builder, n: Size, m: Size, dtype: Any = None) -> Value:
    """eye.m(SymInt n, SymInt m, *, ScalarType? dtype=None) -> Tensor"""
    return _diagonal(b)


def _diagonal(b: Builder) -> Value:
    row, column = (integers(b, size) for size in b.result.shape)
    return b.cast(b.binary("eq", b.unsqueeze(row, [1]), column, torch.bool), b.result.dtype)


# Triangles and indicators.


@lowers(aten.tril.default)
def tril(b: Builder, x: Value, diagonal: Size = 0) -> Value:
    """tril(Tensor self, SymInt diagonal=0) -> Tensor"""
    return _triangle(b, x, diagonal, upper=False)


@lowers(aten.triu.default)
def triu(b: Builder, x: Value, diagonal: Size = 0) -> Value:
    """triu(Tensor self, SymInt diagonal=0) -> Tensor"""
    return _triangle(b, x, diagonal, upper=True)


def _triangle(b: Builder, x: Value, diagonal: Size, upper: bool) -> Value:
    rows, columns = x.shape[-2:]
    if isinstance(rows, int) and isinstance(columns, int):
        return b.emit("tract_core_trilu", x, k=diagonal, upper=upper)
    # Of positions, since pulses of a stream hold a part of the triangle alone.
    row, column = integers(b, rows), integers(b, columns)
    last = b.binary("add", b.unsqueeze(row, [1]), b.scalar(diagonal, torch.int64))
    kept = b.binary("ge", *((column, last) if upper else (last, column)), torch.bool)
    return b.where(kept, x, b.scalar(0, x.dtype))


@lowers(aten.tril_indices.default)
def tril_indices(b: Builder, row: int, col: int, offset: int = 0, dtype: Any = None) -> Value:
    """tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=long) -> Tensor"""
    return b.constant(torch.tril_indices(row, col, offset, dtype=b.result.dtype))


@lowers(aten.triu_indices.default)
def triu_indices(b: Builder, row: int, col: int, offset: int = 0, dtype: Any = None) -> Value:
    """triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=long) -> Tensor"""
    return b.constant(torch.triu_indices(row, col, offset, dtype=b.result.dtype))


@lowers(aten.one_hot.default)
def one_hot(b: Builder, x: Value, num_classes: int = -1) -> Value:
    """one_hot(Tensor self, int num_classes=-1) -> Tensor"""
    require(num_classes > 0, "its number of classes depends on the data; give num_classes")
    like = Fact(torch.float32, (*x.shape, num_classes))
    hot = b.emit("tract_core_one_hot", x, axis=x.rank, dim=num_classes, like=like)
    return b.cast(hot, b.result.dtype)


# Casts and copies.


@lowers(aten.to.dtype, aten.to.device)
def to_dtype(b: Builder, x: Value, dtype: torch.dtype) -> Value:
    """to.dtype(Tensor(a) self, ScalarType dtype, ...) -> Tensor(a)"""
    return b.cast(x, dtype)


@lowers(aten.to.dtype_layout, aten._to_copy.default)
def to_copy(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """_to_copy(Tensor self, *, ScalarType? dtype=None, ...) -> Tensor"""
    return b.cast(x, dtype or x.dtype)


@lowers(aten.to.other, aten.type_as.default)
def to_other(b: Builder, x: Value, other: Value) -> Value:
    """to.other(Tensor(a) self, Tensor other, ...) -> Tensor(a)"""
    return b.cast(x, other.dtype)


@lowers(aten.alias.default, aten.clone.default, aten.contiguous.default, aten.detach.default)
@lowers(aten.lift.default, aten.lift_fresh.default, aten.lift_fresh_copy.default)
def same(b: Builder, x: Value) -> Value:
    """clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor"""
    return x
