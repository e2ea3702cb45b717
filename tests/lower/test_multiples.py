"""Shapes that need a size to be a multiple of a number: right where it is, else no run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import SymbolError, UnsupportedOpError

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
    assert set(model.assertions) == {"2*(H)/2 == H", "2*(W)/2 == W"}


def test_elements_that_only_some_sizes_allow_are_refused_with_the_users_symbols() -> None:
    with pytest.raises(UnsupportedOpError, match=r"it makes \[B, S, 4\] to \[3, "):
        export(lambda x: x.reshape(3, -1), uniform(3, 8, 4), dynamic_axes=AXES)
    with pytest.raises(UnsupportedOpError, match="nothing shows"):  # an even B would do as well
        export(lambda x: x.view(-1, 2), uniform(2, 3), dynamic_axes=AXES)
