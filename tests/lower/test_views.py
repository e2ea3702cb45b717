"""Chains of reshapes and transposes give the same elements when they are made as one view."""

from __future__ import annotations

import math

import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.value import Value
from torchtract.lower.views import View


def made_from_base(view: View, base: torch.Tensor) -> torch.Tensor:
    split, order, merged = view.steps()
    return base.reshape(split).permute(order).reshape(merged)


def trivial(*shape: int | sympy.Expr) -> View:
    return View.of(Value(torch.float32, shape, "x"))


@st.composite
def shapes_of(draw: st.DrawFn, count: int) -> list[int]:
    """Some shape with this many elements."""
    shape = []
    while count > 1:
        divisors = [d for d in range(2, count + 1) if count % d == 0]
        shape.append(draw(st.sampled_from(divisors)))
        count //= shape[-1]
    for _ in range(draw(st.integers(0, 2))):
        shape.insert(draw(st.integers(0, len(shape))), 1)
    return draw(st.permutations(shape))


@settings(deadline=None)
@given(st.data())
def test_any_chain_of_rearrangements_is_one_view(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4))
    base = torch.arange(math.prod(shape)).reshape(shape)
    view, expected = trivial(*shape), base
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(expected.dim())))
            view, expected = view.transpose(order), expected.permute(order)
        else:
            wanted = data.draw(shapes_of(expected.numel()))
            reshaped = view.reshape(wanted)
            expected = expected.reshape(wanted)
            if reshaped is None:  # the shape cuts an atom: a new base, as the builder does
                base, view = expected, trivial(*wanted)
            else:
                view = reshaped
        torch.testing.assert_close(made_from_base(view, base), expected, rtol=0, atol=0)


@settings(deadline=None)
@given(st.data())
def test_what_acts_on_the_last_axis_may_come_before_the_others_are_rearranged(
    data: st.DataObject,
) -> None:
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=2, max_size=4))
    base = torch.arange(math.prod(shape)).reshape(shape)
    order = data.draw(st.permutations(range(base.dim())))
    wanted = data.draw(shapes_of(base.numel()).filter(bool))
    view = trivial(*shape).transpose(order).reshape(wanted)
    steps = view.around_last() if view else None
    if view is None or steps is None:
        return
    first, second = steps
    doubled = torch.cat(2 * [made_from_base(first, base)], -1)  # the last axis changes its size
    y = Value(torch.int64, tuple(doubled.shape), "y")
    placed = second.on(y, len(wanted) - 1, y.shape[-1])
    expected = torch.cat(2 * [base.permute(order).reshape(wanted)], -1)
    torch.testing.assert_close(made_from_base(placed, doubled), expected, rtol=0, atol=0)


def test_attention_heads_with_a_symbolic_batch_are_split_and_reordered_once() -> None:
    batch = sympy.Symbol("B", integer=True, nonnegative=True)
    view = trivial(197, batch, 768).reshape([197, batch * 12, 64])
    assert view is not None
    heads = view.transpose([1, 0, 2]).reshape([batch, 12, 197, 64])
    assert heads is not None
    assert heads.steps() == ([197, batch, 12, 64], [1, 2, 0, 3], [batch, 12, 197, 64])


def test_a_symbol_is_not_split_by_a_number() -> None:
    size = sympy.Symbol("S", integer=True, nonnegative=True)
    assert trivial(size).reshape([FloorDiv(size, 2), 2]) is None


def test_axes_of_size_one_come_and_go_without_an_operation() -> None:
    view = trivial(4, 5).unsqueeze([0, 3]).squeeze([0])
    assert view is not None
    assert view.axes == (((0, 0),), ((1, 0),), ())
    assert trivial(4, 5).squeeze([0]) is None
