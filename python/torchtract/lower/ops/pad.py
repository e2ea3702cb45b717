"""Paddings: constant, reflected, replicated and circular."""

from __future__ import annotations

from collections.abc import Sequence

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal
from torchtract.lower.registry import lowers
from torchtract.lower.simplify import is_nonnegative
from torchtract.lower.value import Size, Value, size_of

__all__ = ["padded"]

aten = torch.ops.aten


@lowers(aten.pad.default)
def pad(b: Builder, x: Value, pad: list[Size], mode: str, value: float | None) -> Value:
    """pad(Tensor self, SymInt[] pad, str mode="constant", float? value=None) -> Tensor"""
    match mode:
        case "constant":
            return constant_pad_nd(b, x, pad, value or 0)
        case "reflect":
            return reflection_pad(b, x, pad)
        case "replicate":
            return replication_pad(b, x, pad)
    return _circular(b, x, _per_axis(x, pad))


@lowers(aten.constant_pad_nd.default)
def constant_pad_nd(b: Builder, x: Value, pad: list[Size], value: float) -> Value:
    """constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor"""
    pads = _per_axis(x, pad)
    x = _cropped(b, x, pads)
    added = [(_at_least_0(begin), _at_least_0(end)) for begin, end in pads]
    numbers = [(begin, end) for begin, end in added if isinstance(begin + end, int)]
    if len(numbers) == len(added) and _is_float32(value) and x.dtype != torch.bool:
        return padded(b, x, numbers, value=float(value))
    # tract's own takes numbers of elements, and a float32 to fill them with.
    for axis, (begin, end) in enumerate(added):
        x = _between(b, x, axis, begin, end, value)
    return x


@lowers(
    aten.reflection_pad1d.default,
    aten.reflection_pad2d.default,
    aten.reflection_pad3d.default,
)
def reflection_pad(b: Builder, x: Value, padding: list[Size]) -> Value:
    """reflection_pad2d(Tensor self, SymInt[4] padding) -> Tensor"""
    return _continued(b, x, padding, "reflect")


@lowers(
    aten.replication_pad1d.default,
    aten.replication_pad2d.default,
    aten.replication_pad3d.default,
)
def replication_pad(b: Builder, x: Value, padding: list[Size]) -> Value:
    """replication_pad2d(Tensor self, SymInt[4] padding) -> Tensor"""
    return _continued(b, x, padding, "replicated")


def padded(
    b: Builder,
    x: Value,
    pads: Sequence[tuple[int, int]],
    border: str = "constant",
    value: float = 0.0,
) -> Value:
    """Elements added before and behind each axis, as NNEF's `pad` does."""
    if not any(begin or end for begin, end in pads):
        return x
    shape = [begin + size + end for size, (begin, end) in zip(x.shape, pads, strict=True)]
    return b.emit(
        "pad",
        x,
        like=x.of(shape=shape),
        padding=list(pads),
        border=border,
        value=value if border == "constant" else None,
    )


def _per_axis(x: Value, pad: Sequence[Size]) -> list[tuple[Size, Size]]:
    """PyTorch's flat list, which begins at the last axis, as a pair for each axis."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    return [(0, 0)] * (x.rank - len(pairs)) + pairs[::-1]


def _continued(b: Builder, x: Value, pad: Sequence[Size], border: str) -> Value:
    """Padded with the tensor's own elements. Negative padding crops what comes out."""
    pads = _per_axis(x, pad)
    fixed = [(p, q) if isinstance(p, int) and isinstance(q, int) else (0, 0) for p, q in pads]
    added = [(max(0, begin), max(0, end)) for begin, end in fixed]
    x = _cropped(b, padded(b, x, added, border), fixed)
    for axis, (begin, end) in enumerate(pads):
        if (begin, end) != fixed[axis]:  # tract adds fixed numbers of elements
            x = _picked(b, x, axis, begin, end, border)
    return x


def _picked(b: Builder, x: Value, axis: int, begin: Size, end: Size, border: str) -> Value:
    """Padded along an axis by elements whose positions are computed."""
    size = x.shape[axis]
    count = size_of(size + sympy.sympify(begin) + end)
    last, zero = b.scalar(size - 1, torch.int64), b.scalar(0, torch.int64)
    place = b.binary("sub", b.range(0, count, 1, count), b.scalar(begin, torch.int64))
    if border == "reflect":
        from_last = b.binary("sub", last, b.emit("abs", place, like=place))
        place = b.binary("sub", last, b.emit("abs", from_last, like=place))
    else:
        place = b.binary("max", b.binary("min", place, last), zero)
    like = x.of(shape=[*x.shape[:axis], count, *x.shape[axis + 1 :]])
    return b.emit("tract_core_gather", x, place, axis=axis, like=like)


def _circular(b: Builder, x: Value, pads: Sequence[tuple[Size, Size]]) -> Value:
    x = _cropped(b, x, pads)
    for axis, (begin, end) in enumerate(pads):
        size = x.shape[axis]
        begin, end = _at_least_0(begin), _at_least_0(end)
        parts = [b.slice(x, axis, size - begin, size)] if begin != 0 else []
        parts.append(x)
        if end != 0:
            parts.append(b.slice(x, axis, 0, end))
        x = b.concat(parts, axis)
    return x


def _between(b: Builder, x: Value, axis: int, begin: Size, end: Size, value: float) -> Value:
    """The tensor with blocks of one number before and behind it, of any sizes and type."""

    def block(size: Size) -> list[Value]:
        shape = [*x.shape[:axis], size, *x.shape[axis + 1 :]]
        return [b.full(value, x.dtype, shape)] if size != 0 else []

    surrounded = b.concat([*block(begin), x, *block(end)], axis)
    size = surrounded.shape[axis]
    if isinstance(sympy.sympify(begin + end), sympy.Integer):
        return surrounded
    # tract adds up H + H % 2, and does not know that it is 2 * ((H + 1) / 2). This tells it.
    return b.emit("tract_core_dyn_slice", surrounded, 0, size, size, axis, like=surrounded)


def _cropped(b: Builder, x: Value, pads: Sequence[tuple[Size, Size]]) -> Value:
    """Without the elements that negative padding takes away."""
    for axis, (begin, end) in enumerate(pads):
        x = b.slice(x, axis, _at_least_0(-begin), x.shape[axis] - _at_least_0(-end))
    return x


def _at_least_0(size: Size) -> Size:
    """The size, or 0 where it is negative.

    Raises:
        Refusal: either can be, depending on a symbol.
    """
    size = sympy.sympify(size)
    if is_nonnegative(size):
        return size_of(size)
    if is_nonnegative(-size):
        return 0
    raise Refusal(f"a padding of {size} may add or crop elements, depending on its symbols")


def _is_float32(value: float) -> bool:
    return float(torch.tensor(value, dtype=torch.float32)) == value
