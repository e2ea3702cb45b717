"""Running products, extremes and sums of powers: loops along an axis of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.ops.compare import isnan
from torchtract.lower.ops.shape import axis_of, integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten


def _loop(
    b: Builder,
    stem: str,
    body: Sequence[str],
    axis: int,
    along: Mapping[str, Value],
    states: Mapping[str, Value],
) -> tuple[Value, ...]:
    """Each state at every step, along an axis.

    Args:
        stem: what the step is called.
        body: the step's lines, which give `state_next` for each state.
        axis: where the steps are.
        along: tensors by the names that their slices have in the body.
        states: what each state is ahead of the first step, with size 1 along the axis.
    """
    count = next(iter(along.values())).shape[axis]
    initial = states.values()
    results = [s.of(shape=[*s.shape[:axis], count, *s.shape[axis + 1 :]]) for s in initial]
    if 0 in results[0].shape:  # tract takes no loop of a fixed number of no steps
        return tuple(b.full(0, fact.dtype, fact.shape) for fact in results)
    return b.emit_many(
        "tract_core_scan",
        results=results,
        outputs_as_list=True,
        body=b.fragment_of(
            f"{stem}_step", [*along, *states], [f"{name}_next" for name in states], body
        ),
        scan=[(name, x, axis, 1) for name, x in along.items()],
        full=[],
        state=[(name, first, f"{name}_next") for name, first in states.items()],
        output=[(f"{name}_next", "full", axis, 1) for name in states],
    )


def _before(b: Builder, x: Value, axis: int, number: Any) -> Value:
    return b.full(number, x.dtype, [1 if a == axis else s for a, s in enumerate(x.shape)])


@lowers(aten.cumprod.default)
def cumprod(b: Builder, x: Value, dim: int, dtype: torch.dtype | None = None) -> Value:
    """cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor"""
    result = b.result.dtype
    # PyTorch multiplies in float64, so products come back that float32 could not have held.
    x = b.cast(b.cast(x, result), torch.float64 if result.is_floating_point else result)
    if x.rank:
        axis = axis_of(dim, x.rank)
        states = {"y": _before(b, x, axis, 1)}
        (x,) = _loop(b, "cumprod", ["y_next = mul(y, x)"], axis, {"x": x}, states)
    return b.cast(x, result)


@lowers(aten.cummax.default)
def cummax(b: Builder, x: Value, dim: int) -> tuple[Value, Value]:
    """cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)"""
    return _running_extreme(b, "cummax", x, dim)


@lowers(aten.cummin.default)
def cummin(b: Builder, x: Value, dim: int) -> tuple[Value, Value]:
    """cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)"""
    return _running_extreme(b, "cummin", x, dim)


#: Whether an element takes the place of the extreme so far, and where extremes begin.
_EXTREMES = {"cummax": ("ge", "min"), "cummin": ("le", "max")}


def _running_extreme(b: Builder, which: str, x: Value, dim: int) -> tuple[Value, Value]:
    """Of equal elements the last counts. From the first NaN on the extreme is NaN."""
    if x.rank == 0:
        return x, b.scalar(0, torch.int64)
    compare, limit = _EXTREMES[which]
    dtype, axis = x.dtype, axis_of(dim, x.rank)
    x = b.cast(x, torch.uint8) if dtype == torch.bool else x
    positions = integers(b, x.shape[axis])
    positions = b.reshape(positions, [s if a == axis else 1 for a, s in enumerate(x.shape)])
    # Whether x is NaN is found ahead of the loop: tract panics at `ne(x, x)` in it.
    along, replaces = {"x": x, "position": positions}, f"{compare}(x, y)"
    if x.dtype.is_floating_point:
        along["nan"], replaces = isnan(b, x), f"or(nan, and(eq(y, y), {replaces}))"
    body = [
        f"replaces = {replaces}",
        "y_next = select(replaces, x, y)",
        "at_next = select(replaces, position, at)",
    ]
    begin = _before(b, x, axis, _limit(x.dtype, limit))
    states = {"y": begin, "at": b.full(0, torch.int64, begin.shape)}
    y, at = _loop(b, which, body, axis, along, states)
    return b.cast(y, dtype), at


def _limit(dtype: torch.dtype, which: str) -> float | int:
    """The least (`min`) or the greatest (`max`) of an element type."""
    if dtype.is_floating_point:
        return -torch.inf if which == "min" else torch.inf
    return int(getattr(torch.iinfo(dtype), which))


@lowers(aten.logcumsumexp.default)
def logcumsumexp(b: Builder, x: Value, dim: int) -> Value:
    """logcumsumexp(Tensor self, int dim) -> Tensor"""
    if x.rank == 0:
        return x
    axis, wide = axis_of(dim, x.rank), b.cast(x, torch.float64)
    body = [
        "zero = tract_core_cast(0.0, to = 'f64')",
        "one = tract_core_cast(1.0, to = 'f64')",
        # The difference of two infinities that are one would be NaN.
        "apart = select(eq(x, y), zero, abs(sub(x, y)))",
        "y_next = add(max(x, y), log(add(one, exp(neg(apart)))))",
    ]
    states = {"y": _before(b, wide, axis, -torch.inf)}
    (y,) = _loop(b, "logcumsumexp", body, axis, {"x": wide}, states)
    return b.cast(y, x.dtype)
