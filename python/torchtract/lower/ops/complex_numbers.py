"""Complex numbers, as two tensors: their real and their imaginary parts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.ops import compare, concat, create, index, reduce, shape  # noqa: F401
from torchtract.lower.ops.elementwise import atan2, hypot
from torchtract.lower.ops.pad import constant_pad_nd
from torchtract.lower.pairs import complex_of, from_pairs, to_pairs
from torchtract.lower.registry import lowering_of, lowers
from torchtract.lower.value import Size, Value

__all__ = ["complex_of", "parts_of", "view_as_complex", "view_as_real"]

aten = torch.ops.aten


def parts_of(b: Builder, x: Value, dtype: torch.dtype | None = None) -> tuple[Value, Value]:
    """Real and imaginary parts, in this element type. Other numbers have zeros for the latter."""
    dtype = dtype or x.dtype.to_real()
    if x.imag is None:
        real = b.cast(x, dtype)
        return real, b.full(0, dtype, x.shape)
    return b.cast(x.real, dtype), b.cast(x.imag, dtype)


def _operand_parts(b: Builder, operand: Any) -> tuple[Value, Value]:
    dtype = b.result.dtype.to_real()
    if isinstance(operand, Value):
        return parts_of(b, operand, dtype)
    number = complex(operand)
    return b.scalar(number.real, dtype), b.scalar(number.imag, dtype)


# Made of parts, and taken apart.


@lowers(aten.complex.default, of_complex=True)
def complex_(b: Builder, real: Value, imag: Value) -> Value:
    """complex(Tensor real, Tensor imag) -> Tensor"""
    return complex_of(b.broadcast(real, b.result.shape), b.broadcast(imag, b.result.shape))


@lowers(aten.polar.default, of_complex=True)
def polar(b: Builder, abs: Value, angle: Value) -> Value:
    """polar(Tensor abs, Tensor angle) -> Tensor"""
    sides = (b.binary("mul", abs, b.emit(side, angle)) for side in ("cos", "sin"))
    return complex_of(*sides)


@lowers(aten.view_as_complex.default, of_complex=True)
def view_as_complex(b: Builder, x: Value) -> Value:
    """view_as_complex(Tensor(a) self) -> Tensor(a)"""
    return from_pairs(b, x)


@lowers(aten.view_as_real.default, of_complex=True)
def view_as_real(b: Builder, x: Value) -> Value:
    """view_as_real(Tensor(a) self) -> Tensor(a)"""
    return to_pairs(b, *parts_of(b, x))


@lowers(aten.real.default, of_complex=True)
def real(b: Builder, x: Value) -> Value:
    """real(Tensor(a) self) -> Tensor(a)"""
    return parts_of(b, x)[0]


@lowers(aten.imag.default, of_complex=True)
def imag(b: Builder, x: Value) -> Value:
    """imag(Tensor(a) self) -> Tensor(a)"""
    return parts_of(b, x)[1]


@lowers(aten.abs.default, of_complex=True)
def abs_(b: Builder, x: Value) -> Value:
    """abs(Tensor self) -> Tensor"""
    width, height = parts_of(b, x)
    return hypot(b, x=width, other=height)


@lowers(aten.angle.default, of_complex=True)
def angle(b: Builder, x: Value) -> Value:
    """angle(Tensor self) -> Tensor"""
    width, height = parts_of(b, x)
    return atan2(b, x=height, other=width)


@lowers(aten.resolve_conj.default, aten.resolve_neg.default, of_complex=True)
def resolve_conj(b: Builder, x: Value) -> Value:
    """resolve_conj(Tensor(a) self) -> Tensor(a)"""
    return x


# Arithmetic.


@lowers(aten._conj.default, aten.conj.default, of_complex=True)
@lowers(aten.conj_physical.default, aten._conj_physical.default, of_complex=True)
def conj(b: Builder, x: Value) -> Value:
    """_conj(Tensor(a) self) -> Tensor(a)"""
    real, imag = parts_of(b, x)
    return complex_of(real, b.emit("neg", imag))


@lowers(aten.add.Tensor, of_complex=True)
def add(b: Builder, x: Value, other: Any) -> Value:
    """add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    return _termwise(b, "add", x, other)


@lowers(aten.sub.Tensor, of_complex=True)
def sub(b: Builder, x: Value, other: Any) -> Value:
    """sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"""
    return _termwise(b, "sub", x, other)


@lowers(aten.rsub.Scalar, aten.rsub.Tensor, of_complex=True)
def rsub(b: Builder, x: Value, other: Any) -> Value:
    """rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor"""
    return _termwise(b, "sub", other, x)


def _termwise(b: Builder, op: str, x: Any, other: Any) -> Value:
    pairs = zip(_operand_parts(b, x), _operand_parts(b, other), strict=True)
    return complex_of(*(b.binary(op, mine, theirs) for mine, theirs in pairs))


@lowers(aten.mul.Tensor, of_complex=True)
def mul(b: Builder, x: Value, other: Any) -> Value:
    """mul.Tensor(Tensor self, Tensor other) -> Tensor"""
    scale = _real_scale(b, other)
    if scale is not None and x.imag is not None:
        return complex_of(*(b.binary("mul", part, scale) for part in _operand_parts(b, x)))
    return _product(b, _operand_parts(b, x), _operand_parts(b, other))


@lowers(aten.div.Tensor, of_complex=True)
def div(b: Builder, x: Value, other: Any) -> Value:
    """div.Tensor(Tensor self, Tensor other) -> Tensor"""
    divisor, parts = _real_scale(b, other), _operand_parts(b, x)
    if divisor is None:
        # x * conj(y) / |y|**2, with y made short first, so that its square is finite.
        width, height = _operand_parts(b, other)
        longest = b.binary("max", b.emit("abs", width), b.emit("abs", height))
        width, height = b.binary("div", width, longest), b.binary("div", height, longest)
        square = b.binary("add", b.binary("mul", width, width), b.binary("mul", height, height))
        parts = parts_of(b, _product(b, parts, (width, b.emit("neg", height))))
        divisor = b.binary("mul", square, longest)
    return complex_of(*(b.binary("div", part, divisor) for part in parts))


def _real_scale(b: Builder, operand: Any) -> Value | None:
    """The operand as a tensor, unless it has an imaginary part."""
    if isinstance(operand, complex) or (isinstance(operand, Value) and operand.imag is not None):
        return None
    return b.tensor(operand, b.result.dtype.to_real())


def _product(b: Builder, x: tuple[Value, Value], y: tuple[Value, Value]) -> Value:
    (a, c), (d, e) = x, y
    real = b.binary("sub", b.binary("mul", a, d), b.binary("mul", c, e))
    return complex_of(real, b.binary("add", b.binary("mul", a, e), b.binary("mul", c, d)))


@lowers(aten.exp.default, of_complex=True)
def exp(b: Builder, x: Value) -> Value:
    """exp(Tensor self) -> Tensor"""
    real, angle = parts_of(b, x)
    return polar(b, b.emit("exp", real), angle)


@lowers(aten.to.dtype, aten._to_copy.default, of_complex=True)
def to_dtype(b: Builder, x: Value, dtype: torch.dtype | None = None) -> Value:
    """to.dtype(Tensor(a) self, ScalarType dtype, ...) -> Tensor(a)"""
    parts = parts_of(b, x, b.result.dtype.to_real())
    return complex_of(*parts) if b.result.dtype.is_complex else parts[0]


@lowers(aten.constant_pad_nd.default, of_complex=True)
def pad_with_number(b: Builder, x: Value, pad: list[Size], value: float = 0) -> Value:
    """constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor"""
    real, imag = parts_of(b, x)
    return complex_of(constant_pad_nd(b, real, pad, value), constant_pad_nd(b, imag, pad, 0))


@lowers(aten.pad.default, of_complex=True)
def pad_(b: Builder, x: Value, pad: list[Size], mode: str, value: float | None) -> Value:
    """pad(Tensor self, SymInt[] pad, str mode="constant", float? value=None) -> Tensor"""
    require(mode == "constant", f"padding of complex numbers that is {mode} has no lowering")
    return pad_with_number(b, x, pad, value or 0)


# What changes nothing about real numbers.


@lowers(aten.real.default, aten.resolve_conj.default, aten.resolve_neg.default)
@lowers(aten._conj.default, aten.conj.default)
@lowers(aten.conj_physical.default, aten._conj_physical.default)
def same(b: Builder, x: Value) -> Value:
    """real(Tensor(a) self) -> Tensor(a)"""
    return x


# The same for both parts.

_BY_PARTS: tuple[OpOverload, ...] = (
    *(aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.flatten.using_ints),
    *(aten.unflatten.int, aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim),
    *(aten.squeeze.dims, aten.permute.default, aten.transpose.int, aten.swapaxes.default),
    *(aten.mT.default, aten.t.default, aten.movedim.int, aten.movedim.intlist),
    *(aten.expand.default, aten.expand_as.default, aten.broadcast_to.default, aten.repeat.default),
    *(aten.flip.default, aten.roll.default, aten.unfold.default, aten.diagonal.default),
    *(aten.cat.default, aten.stack.default, aten.split.Tensor, aten.split_with_sizes.default),
    *(aten.chunk.default, aten.unbind.int, aten.slice.Tensor, aten.narrow.default),
    *(aten.select.int, aten.index_select.default, aten.gather.default, aten.index.Tensor),
    *(aten.clone.default, aten.alias.default, aten.contiguous.default, aten.detach.default),
    *(aten.neg.default, aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim),
    *(aten.cumsum.default, aten.tril.default, aten.triu.default),
    aten.where.self,
)


def _by_parts(function: Callable[..., Any]) -> Callable[..., Any]:
    """A lowering of real numbers applied to each part."""

    @functools.wraps(function)
    def of_both(b: Builder, **arguments: Any) -> Any:
        results = b.results
        b.results = tuple(fact.of(dtype=fact.dtype.to_real()) for fact in results)
        real, imag = (
            function(b, **{name: _part(b, value, which) for name, value in arguments.items()})
            for which in range(2)
        )
        b.results = results
        if isinstance(real, Value):
            return complex_of(real, imag)
        return tuple(complex_of(*parts) for parts in zip(real, imag, strict=True))

    return of_both


def _part(b: Builder, argument: Any, which: int) -> Any:
    if isinstance(argument, list):
        return [_part(b, item, which) for item in argument]
    if not isinstance(argument, Value):
        return argument
    divided = argument.dtype.is_complex or argument.dtype.is_floating_point
    return parts_of(b, argument)[which] if divided else argument


for _overload in _BY_PARTS:
    _lowering = lowering_of(_overload)
    assert _lowering is not None
    lowers(_overload, of_complex=True)(_by_parts(_lowering.function))
