"""Shapes that need a size to be a multiple of a number: right where it is, else no run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy
import torch
from torch.utils._sympy.functions import FloorDiv, Mod

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract import check_io
from torchtract.errors import CaptureError, SymbolError, UnsupportedOpError
from torchtract.lower.multiples import multiples_beyond, multiples_of

AXES = {"x0": {0: "B", 1: "S"}}

#: A view of [B, S, 4], and the number that S must be a multiple of.
VIEWS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "pairs": (lambda x: x.view(x.shape[0], x.shape[1] // 2, 2, 4).mean(1), 2),
    "pairs merged": (lambda x: x.view(x.shape[0], x.shape[1] // 2, 8), 2),
    "the rest is the pairs": (lambda x: x.view(x.shape[0], -1, 8), 2),
    "windows": (lambda x: x.view(x.shape[0], -1, 4, 4).softmax(2), 4),
    "pairs, then windows": (lambda x: x.view(x.shape[0], -1, 8).view(x.shape[0], -1, 32) + 1, 8),
    "in a transpose": (lambda x: x.transpose(1, 2).reshape(x.shape[0], -1, 2).cumsum(1), 1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_needs_a_multiple(name: str) -> None:
    function, factor = VIEWS[name]
    sizes = [{"B": b, "S": s * factor} for b, s in [(1, 1), (2, 3), (3, 20)]]
    model = export_and_compare(function, uniform(3, 16, 4), dynamic_axes=AXES, sizes=sizes)
    if factor > 1:
        with pytest.raises(SymbolError, match=r"S=9.*asserts"):
            model.compile()(uniform(2, 9, 4))


def test_both_sides_of_an_image() -> None:
    model = export_and_compare(
        lambda x: torch.nn.functional.pixel_unshuffle(x, 2),
        uniform(2, 3, 8, 6),
        dynamic_axes={"x0": {2: "H", 3: "W"}},
        sizes=[{"H": 2, "W": 10}, {"H": 20, "W": 4}],
    )
    assert set(model.assertions) == {"2*(H/2) == H", "2*(W/2) == W"}


def test_a_check_tries_multiples_alone() -> None:
    module, x = torch.nn.PixelUnshuffle(2).eval(), uniform(2, 3, 8, 6)
    model = export(module, x, dynamic_axes={"input": {2: "H", 3: "W"}})
    report = check_io(module, model, x)
    assert not report.refused
    assert {(row.sizes["H"] % 2, row.sizes["W"] % 2) for row in report.rows} == {(0, 0)}
    assert len({row.sizes["H"] for row in report.rows}) > 1


def test_elements_that_only_some_sizes_allow_are_refused_with_the_users_symbols() -> None:
    with pytest.raises(UnsupportedOpError, match=r"it makes \[B, S, 4\] to \[3, "):
        export(lambda x: x.reshape(3, -1), uniform(3, 8, 4), dynamic_axes=AXES)
    with pytest.raises(UnsupportedOpError, match="nothing shows"):  # an even B would do as well
        export(lambda x: x.view(-1, 2), uniform(2, 3), dynamic_axes=AXES)


class Blocks(torch.nn.Module):
    """Blocks of 8 frames, by a convolution and by counting."""

    def __init__(self, *, pads: int | None = None) -> None:
        super().__init__()
        self.pads = pads
        self.conv = torch.nn.Conv1d(3, 4, kernel_size=3, stride=8, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] % 8:
            if self.pads is None:
                raise ValueError(f"{x.shape[2]} frames are no whole number of blocks")
            x = torch.nn.functional.pad(x, (self.pads, -x.shape[2] % 8))
        batch, _, length = x.shape
        blocks: torch.Tensor = self.conv(x).view(batch, 4, length // 8, 1)
        inside: torch.Tensor = x[:, :1].unflatten(2, (length // 8, 8))
        return blocks * inside + blocks.mean(2, keepdim=True)


FRAMES = {"x": {0: "B", 2: "S"}}
PROMISE = "tract_assert S % 8 == 0"


def test_a_module_that_refuses_the_rest() -> None:
    sizes = [{"B": 1, "S": 8}, {"B": 3, "S": 160}]
    blocks = Blocks().eval()
    model = export_and_compare(blocks, uniform(2, 3, 24), dynamic_axes=FRAMES, sizes=sizes)
    with pytest.raises(SymbolError, match=r"S=17.*asserts"):
        model.compile()(uniform(2, 3, 17))


@pytest.mark.parametrize("length", [24, 23])
def test_a_module_that_pads_the_rest_pads_nothing_where_there_is_none(length: int) -> None:
    sizes = [{"B": b, "S": s} for b, s in [(1, 7), (3, 8), (2, 9), (1, 23), (2, 24), (1, 160)]]
    export_and_compare(
        Blocks(pads=0).eval(), uniform(2, 3, length), dynamic_axes=FRAMES, sizes=sizes
    )


@pytest.mark.parametrize("length", [24, 23])
def test_a_module_that_pads_more_than_the_rest_needs_a_promise(length: int) -> None:
    x, blocks = uniform(2, 3, length), Blocks(pads=8).eval()
    with pytest.raises(CaptureError, match=r"S % 8 [!=]= 0 does not hold"):
        export(blocks, x, dynamic_axes=FRAMES)
    sizes = [{"B": 1, "S": 8}, {"B": 3, "S": 160}]
    x = uniform(2, 3, 24)
    export_and_compare(blocks, x, dynamic_axes=FRAMES, sizes=sizes, custom_extensions=[PROMISE])


@pytest.mark.parametrize("promise", ["8 * (S / 8) == S", "S == S / 8 * 8", "S / 8 * 8 >= S"])
def test_a_promise_that_no_lowering_needs_is_held_too(promise: str) -> None:
    model = export_and_compare(
        torch.nn.Conv1d(3, 4, 5, stride=2),
        uniform(2, 3, 24),
        dynamic_axes={"input": FRAMES["x"]},
        sizes=[{"B": 1, "S": 8}],
        custom_extensions=[f"tract_assert {promise}"],
    )
    with pytest.raises(SymbolError, match=r"S=17.*asserts"):
        model.compile()(uniform(2, 3, 17))


S, T = (sympy.Symbol(name, integer=True, positive=True) for name in ("s0", "s1"))


@pytest.mark.parametrize(
    ("condition", "divisors"),
    [
        (sympy.Eq(Mod(S, 8), 0), {S: 8}),
        (sympy.Eq(2 * S, 16 * FloorDiv(S, 8)), {S: 8}),
        (sympy.Eq(S * T, 8 * FloorDiv(S, 2) * FloorDiv(T, 4)), {S: 2, T: 4}),
        (sympy.Eq(Mod(S, 8), 1), {}),
        (sympy.Eq(FloorDiv(S, 8), 4), {}),
        (sympy.Eq(FloorDiv(S, 8), FloorDiv(S, 8) + T), {}),
        (sympy.Ne(Mod(S, 8), 0), {}),
        (sympy.Eq(Mod(sympy.Symbol("u0", integer=True), 8), 0), {}),
    ],
    ids=str,
)
def test_multiples_of_symbols(condition: sympy.Basic, divisors: dict[sympy.Symbol, int]) -> None:
    said = {symbol: n * FloorDiv(symbol, n) for symbol, n in divisors.items()}
    assert multiples_of([condition], [S, T]) == said


def test_several_divisors_of_one_symbol() -> None:
    conditions = [sympy.Eq(Mod(S, 8), 0), sympy.Eq(Mod(S, 12), 0)]
    assert multiples_of(conditions, [S]) == {S: 24 * FloorDiv(S, 24)}


HALF, SIXTEENTH = FloorDiv(S, 2), FloorDiv(S, 16)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (sympy.Ne(Mod(S, 4), 0), {S: 4 * FloorDiv(S, 4)}),
        (sympy.Eq(Mod(S, 2), 0), {S: 2 * HALF + 1}),
        (8 * FloorDiv(S + 7, 8) > S, {S: 8 * FloorDiv(S, 8)}),
        (2 * FloorDiv(SIXTEENTH + 1, 2) > SIXTEENTH, {SIXTEENTH: 2 * FloorDiv(S, 32)}),
        (sympy.Eq(Mod(S, 3), 0), {}),  # two remainders
        (S > 8, {}),
        (2 * FloorDiv(S, 2) > S + T, {}),
        (sympy.Ge(2 * HALF, S - 1), {}),  # never fails
    ],
    ids=str,
)
def test_multiples_where_a_condition_fails(
    condition: sympy.Basic, said: dict[sympy.Expr, sympy.Expr]
) -> None:
    assert multiples_beyond(condition) == said
