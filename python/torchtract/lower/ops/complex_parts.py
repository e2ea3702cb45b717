"""Operators on complex numbers that are the same for both parts, or sums of products of parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.ops import (  # noqa: F401  (their lowerings are taken from the registry)
    compare,
    concat,
    conv,
    create,
    index,
    index_put,
    matmul,
    nonzero,
    pad,
    reduce,
    resize,
    scatter,
    shape,
    strided,
)
from torchtract.lower.ops.angles import hypot_of
from torchtract.lower.pairs import complex_of
from torchtract.lower.registry import Lowering, lowering_of, lowers
from torchtract.lower.value import Value

__all__ = ["bilinear", "conjugate", "is_true", "magnitude", "of_reals", "overloads", "parts_of"]

aten = torch.ops.aten


def parts_of(b: Builder, x: Value, dtype: torch.dtype | None = None) -> tuple[Value, Value]:
    """Real and imaginary parts, in this element type. Other numbers have zeros for the latter."""
    dtype = dtype or x.dtype.to_real()
    if x.imag is None:
        return b.cast(x, dtype), b.full(0, dtype, x.shape)
    return b.cast(x.real, dtype), b.cast(x.imag, dtype)


def conjugate(b: Builder, x: Value) -> Value:
    """The numbers with their imaginary parts negated."""
    return x if x.imag is None else complex_of(x.real, b.emit("neg", x.imag))


def is_true(b: Builder, x: Value) -> Value:
    """Whether numbers are not zero."""
    if x.imag is None:
        return b.cast(x, torch.bool)
    real, imag = (b.cast(part, torch.bool) for part in parts_of(b, x))
    return b.binary("or", real, imag)


def magnitude(b: Builder, x: Value) -> Value:
    """The numbers' distances from zero."""
    width, height = parts_of(b, x)
    return hypot_of(b, width, height)


#: Operators that move elements, or add some up: what they do, they do to both parts.
_BY_PARTS: tuple[OpOverload | OpOverloadPacket, ...] = (
    # In another shape or order.
    *(aten.view.default, aten._unsafe_view, aten.reshape, aten.flatten.using_ints, aten.view_as),
    *(aten.unflatten.int, aten.unsqueeze, aten.squeeze, aten.permute, aten.transpose.int),
    *(aten.swapaxes, aten.swapdims, aten.mT, aten.t, aten.numpy_T, aten.movedim, aten.moveaxis),
    *(aten.ravel, aten.reshape_as, aten.atleast_1d.default, aten.atleast_2d.default),
    *(aten.atleast_3d.default, aten.expand, aten.expand_as, aten.broadcast_to, aten.repeat),
    *(aten.tile, aten.repeat_interleave.self_int, aten.meshgrid, aten.flip, aten.roll),
    *(aten.unfold, aten.diagonal.default, aten.pixel_shuffle, aten.pixel_unshuffle),
    *(aten.channel_shuffle, aten.native_channel_shuffle, aten.as_strided),
    *(aten.as_strided_scatter, aten.resize, aten.resize_as),
    # Parts of tensors, and tensors of parts.
    *(aten.cat.default, aten.concat.default, aten.concatenate.default, aten.stack),
    *(aten.split.Tensor, aten.split.sizes, aten.split_with_sizes, aten.split_with_sizes_copy),
    *(aten.unsafe_split, aten.unsafe_split_with_sizes, aten.chunk, aten.unsafe_chunk),
    *(aten.tensor_split.sections, aten.unbind.int, aten.slice.Tensor, aten.narrow.default),
    *(aten.select.int, aten.tril, aten.triu, aten.pad, aten.constant_pad_nd),
    *(aten.reflection_pad1d, aten.reflection_pad2d, aten.reflection_pad3d),
    *(aten.replication_pad1d, aten.replication_pad2d, aten.replication_pad3d),
    # By position and by condition.
    *(aten.index_select.default, aten.gather.default, aten.index.Tensor, aten.take),
    *(aten.take_along_dim, aten.index_put.default, aten.index_add.default, aten.index_copy.default),
    *(aten.index_fill.int_Scalar, aten.index_fill.int_Tensor, aten.scatter.src),
    *(aten.scatter.value, aten.scatter_add.default, aten.masked_scatter, aten.put),
    *(aten.slice_scatter, aten.select_scatter.default, aten.diagonal_scatter),
    aten.masked_select.default,
    *(aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther, aten.where.Scalar),
    *(aten.masked_fill.Scalar, aten.masked_fill.Tensor, aten.copy, aten.fill),
    # Filled with one number.
    *(aten.full.default, aten.full_like, aten.new_full, aten.scalar_tensor, aten.zeros.default),
    *(aten.zeros_like, aten.new_zeros, aten.empty.memory_format, aten.empty_like, aten.new_empty),
    *(aten.empty_strided, aten.new_empty_strided, aten.empty_permuted, aten.linspace.default),
    # The same numbers, their negatives, their sums.
    *(aten.clone, aten.alias, aten.contiguous, aten.detach, aten.lift, aten.lift_fresh),
    *(aten.lift_fresh_copy, aten.positive, aten.neg, aten.sum.default, aten.sum.dim_IntList),
    *(aten.mean.default, aten.mean.dim, aten.cumsum.default, aten.diff),
)

#: Operators whose results are ones and zeros.
_REAL = (aten.ones.default, aten.ones_like, aten.new_ones, aten.eye.default, aten.eye.m)

#: Operators that are linear in each of two arguments, and in their `bias`.
_BILINEAR = {
    aten.matmul.default: ("x", "other"),
    aten.linalg_matmul.default: ("x", "other"),
    aten.mm.default: ("x", "mat2"),
    aten.bmm.default: ("x", "mat2"),
    aten.mv.default: ("x", "vec"),
    aten.dot.default: ("x", "tensor"),
    aten.outer.default: ("x", "vec2"),
    aten.ger.default: ("x", "vec2"),
    aten.tensordot.default: ("x", "other"),
    aten.linear.default: ("x", "weight"),
    aten.convolution.default: ("x", "weight"),
    **{
        overload: ("x", "weight")
        for name in ("conv1d", "conv2d", "conv3d")
        for overload in (getattr(aten, name).default, getattr(aten, name).padding)
    },
    aten.conv_transpose1d.default: ("x", "weight"),
    aten.conv_transpose2d.input: ("x", "weight"),
    aten.conv_transpose3d.input: ("x", "weight"),
}

#: Operators that take complex numbers by their magnitudes.
_OF_MAGNITUDES = (aten.linalg_vector_norm.default, aten.norm.Scalar, aten.norm.ScalarOpt_dim)

#: Arguments that say where, and so are the same for both parts.
_PLACES = frozenset({"index", "indices", "mask", "condition", "tensor_indices_or_sections"})


def overloads(*operators: OpOverload | OpOverloadPacket) -> Iterable[OpOverload]:
    """The overloads among these that real numbers have a lowering of."""
    for operator in operators:
        if isinstance(operator, OpOverload):
            found = [operator]
        else:
            found = [getattr(operator, name) for name in operator.overloads()]
        known = [overload for overload in found if lowering_of(overload)]
        assert known, f"{operator} is not among the lowerings imported above"
        yield from known


def of_reals(overload: OpOverload) -> Callable[..., Any]:
    """The lowering of an overload for real numbers."""
    return _lowering(overload).function


def _lowering(overload: OpOverload) -> Lowering:
    lowering = lowering_of(overload)
    assert lowering is not None, f"{overload} is not among the lowerings imported above"
    return lowering


def with_real_results(b: Builder, function: Callable[..., Any], **arguments: Any) -> Any:
    """What a lowering gives for parts: its results are real numbers."""
    with b.giving(*(fact.of(dtype=fact.dtype.to_real()) for fact in b.results)):
        return function(b, **arguments)


def _by_parts(overload: OpOverload, imaginary: bool = True) -> Callable[..., Any]:
    """A lowering of real numbers applied to each part."""
    function = of_reals(overload)
    schema = overload._schema.arguments
    names = {a.name for a in schema if "number" in str(a.type)}
    numbers = names | {"value"} | ({"x"} if "self" in names else set())

    @functools.wraps(function)
    def of_both(b: Builder, **arguments: Any) -> Any:
        parts = [
            with_real_results(
                b, function, **{n: _part(b, n, v, which, numbers) for n, v in arguments.items()}
            )
            for which in range(2 if imaginary else 1)
        ]
        # Of complex numbers, new_zeros and ones_like with a dtype make real numbers.
        if isinstance(parts[0], Value) and not b.result.dtype.is_complex:
            return parts[0]
        if not imaginary:
            return complex_of(parts[0], b.full(0, parts[0].dtype, parts[0].shape))
        if isinstance(parts[0], Value):
            return complex_of(*parts)
        return tuple(complex_of(*pair) for pair in zip(*parts, strict=True))

    return of_both


def _part(b: Builder, name: str, argument: Any, which: int, numbers: set[str]) -> Any:
    if name == "alpha":
        require(not isinstance(argument, complex), "complex factors have no lowering here")
    elif name in numbers and isinstance(argument, (complex, float, int)):
        number = complex(argument)
        return (number.real, number.imag)[which]
    if isinstance(argument, (list, tuple)):
        return type(argument)(_part(b, name, item, which, numbers) for item in argument)
    if isinstance(argument, torch.dtype):
        return argument.to_real()
    if isinstance(argument, Value) and name not in _PLACES:
        return parts_of(b, argument, argument.dtype.to_real())[which]
    return argument


def bilinear(overload: OpOverload, first: str, second: str) -> Callable[..., Any]:
    """A product of complex numbers by the products of their parts."""
    function = of_reals(overload)

    @functools.wraps(function)
    def of_both(b: Builder, **arguments: Any) -> Value:
        bias = arguments.get("bias")
        biases = (None, None) if bias is None else parts_of(b, bias)
        dtype = b.result.dtype.to_real()
        mine, theirs = (parts_of(b, arguments[name], dtype) for name in (first, second))

        def term(x: Value, y: Value, bias: Value | None = None) -> Value:
            given = {**arguments, first: x, second: y}
            if "bias" in arguments:
                given["bias"] = bias
            result: Value = with_real_results(b, function, **given)
            return result

        real = b.binary("sub", term(mine[0], theirs[0], biases[0]), term(mine[1], theirs[1]))
        imag = b.binary("add", term(mine[0], theirs[1], biases[1]), term(mine[1], theirs[0]))
        return complex_of(real, imag)

    return of_both


def _of_magnitudes(overload: OpOverload) -> Callable[..., Any]:
    function = of_reals(overload)

    @functools.wraps(function)
    def of_sizes(b: Builder, x: Value, **arguments: Any) -> Any:
        if isinstance(arguments.get("dtype"), torch.dtype):
            arguments["dtype"] = arguments["dtype"].to_real()
        return function(b, x=magnitude(b, x), **arguments)

    return of_sizes


for _overload in overloads(*_BY_PARTS):
    lowers(_overload, of_complex=True, of_storage=_lowering(_overload).of_storage)(
        _by_parts(_overload)
    )
for _overload in overloads(*_REAL):
    lowers(_overload, of_complex=True)(_by_parts(_overload, imaginary=False))
for _overload, _names in _BILINEAR.items():
    lowers(_overload, of_complex=True)(bilinear(_overload, *_names))
for _overload in overloads(*_OF_MAGNITUDES):
    lowers(_overload, of_complex=True)(_of_magnitudes(_overload))


@lowers(aten.vdot.default, of_complex=True)
def vdot(b: Builder, x: Value, other: Value) -> Value:
    """vdot(Tensor self, Tensor other) -> Tensor"""
    product: Value = _DOT(b, x=conjugate(b, x), tensor=other)
    return product


@lowers(aten.mH.default, aten.adjoint.default, of_complex=True)
def adjoint(b: Builder, x: Value) -> Value:
    """mH(Tensor(a) self) -> Tensor(a)"""
    transposed: Value = _MT(b, x=x)
    return conjugate(b, transposed)


_DOT = bilinear(aten.dot.default, "x", "tensor")
_MT = _by_parts(aten.mT.default)


# Statistics: variances of both parts add up.


def _register_statistic(packet: OpOverloadPacket, root: bool, with_mean: bool) -> None:
    source = aten.var_mean if with_mean else aten.var
    for name in packet.overloads():
        overload = getattr(packet, name)
        if lowering_of(overload) is None:
            continue
        lowers(overload, of_complex=True)(_statistic(getattr(source, name), root, with_mean))


def _statistic(overload: OpOverload, root: bool, with_mean: bool) -> Callable[..., Any]:
    function = of_reals(overload)

    @functools.wraps(function)
    def of_both(b: Builder, x: Value, **arguments: Any) -> Any:
        found = [with_real_results(b, function, x=part, **arguments) for part in parts_of(b, x)]
        real, imag = ((f[0], f[1]) if with_mean else (f, None) for f in found)
        spread = b.binary("add", real[0], imag[0])
        spread = b.emit("sqrt", spread) if root else spread
        if real[1] is None or imag[1] is None:
            return spread
        return spread, complex_of(real[1], imag[1])

    return of_both


_register_statistic(aten.var, root=False, with_mean=False)
_register_statistic(aten.std, root=True, with_mean=False)
_register_statistic(aten.var_mean, root=False, with_mean=True)
_register_statistic(aten.std_mean, root=True, with_mean=True)


# The real part alone, where the result is real.


def _of_real_part(overload: OpOverload) -> Callable[..., Any]:
    function = of_reals(overload)

    @functools.wraps(function)
    def of_part(b: Builder, x: Value, **arguments: Any) -> Any:
        if b.result.dtype.is_complex:
            raise Refusal("PyTorch has it for real numbers only")
        return function(b, x=parts_of(b, x)[0], **arguments)

    return of_part


for _overload in overloads(aten.softmax.int, aten.log_softmax.int):
    lowers(_overload, of_complex=True)(_of_real_part(_overload))
