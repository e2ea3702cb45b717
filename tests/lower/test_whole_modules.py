"""Modules that a lowering of their class takes whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness import export, export_and_compare
from lower.scaled import Model, Scaled, ScaledTwice, lower_scaled
from torchtract import TractNNEF, export_model_to_nnef
from torchtract.errors import LoweringError, MismatchError, UnsupportedOpError
from torchtract.lower import Builder, Value, lowers_module, require, scoped_lowerings
from torchtract.lower.value import Size

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
AXES = {"x": {0: "B", 1: "S"}}
SIZES = ({"B": 1, "S": 1}, {"B": 4, "S": 9})


class Split(nn.Module):
    def forward(self, x: Tensor, count: int) -> dict[str, Tensor | int]:
        return {"head": x[:, :count] * 1, "count": count, "tail": x[:, count:] * 1}


@pytest.fixture(autouse=True)
def registrations() -> Iterator[None]:
    """Takes back what a test registers."""
    with scoped_lowerings():
        yield


def test_modules_of_a_class_and_its_subclasses_are_lowered_whole() -> None:
    met = lower_scaled()
    model = Model().eval()
    exported = export_and_compare(model, X, dynamic_axes=AXES, sizes=SIZES)
    assert {type(m) for m in met} == {Scaled, ScaledTwice}
    assert not any("cum" in node.name for node in exported.compile().nodes())


def test_a_module_keeps_its_own_forward() -> None:
    lower_scaled()
    model = Model().eval()
    before = model(X)
    export(model, X)
    assert "forward" not in vars(model.shared)
    assert torch.equal(model(X), before)


def test_the_model_itself_may_be_lowered_whole() -> None:
    lower_scaled()
    export_and_compare(Scaled(4).eval(), X, dynamic_axes=AXES, sizes=SIZES)


def test_weights_are_written_once_under_their_names(tmp_path: Path) -> None:
    lower_scaled()
    export_model_to_nnef(Model().eval(), X, tmp_path / "m", TractNNEF(dynamic_axes={"x": {0: "B"}}))
    names = sorted(path.name for path in (tmp_path / "m").glob("*.dat"))
    assert names == [
        *("blocks.0.offset.dat", "blocks.0.weight.dat"),
        *("blocks.2.offset.dat", "blocks.2.weight.dat"),
    ]


def test_numbers_and_symbols_go_in_and_dicts_come_out() -> None:
    @lowers_module(Split)
    def split(b: Builder, _: Split, x: Value, count: Size) -> dict[str, Value | Size]:
        tail = b.slice(x, 1, count, x.shape[1])
        return {"head": b.slice(x, 1, 0, count), "count": count, "tail": tail}

    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.split = Split()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            parts = self.split(x, x.shape[1] // 2)
            return {"tail": parts["tail"] * parts["count"], "head": parts["head"].exp()}

    export_and_compare(Halves().eval(), X, dynamic_axes=AXES, sizes=SIZES)


def test_a_wrong_lowering_is_found_by_the_check_and_named(tmp_path: Path) -> None:
    lower_scaled(factor=1.5)
    match = r"(?s)torchtract_module\.Scaled\.default in blocks\.0"
    with pytest.raises(MismatchError, match=match):
        export_model_to_nnef(
            Model().eval(), X, tmp_path / "m.nnef.tar", TractNNEF(dynamic_axes=AXES)
        )


def test_a_lowering_that_gives_something_else_is_a_typed_error() -> None:
    lowers_module(Scaled)(lambda b, _, x, **__: b.slice(x, 2, 0, 1))
    with pytest.raises(LoweringError, match=r"Scaled\.default.*gives torch.float32\[2, 5, 1\]"):
        export(Model().eval(), X)


def test_a_second_lowering_of_a_class_is_refused_unless_it_replaces() -> None:
    lower_scaled()
    with pytest.raises(LoweringError, match="replace=True"):
        lowers_module(Scaled)(lambda _, __, x: x)
    lowers_module(Scaled, replace=True)(lambda _, __, x: x)
    assert (export(Scaled(4).eval(), X).compile()(X) == X.numpy()).all()


def test_what_is_no_class_of_modules_is_refused() -> None:
    with pytest.raises(LoweringError, match="name a subclass of"):
        lowers_module(Scaled(4))  # type: ignore[arg-type]


def test_a_refusal_names_class_and_line() -> None:
    @lowers_module(Scaled)
    def scaled(_: Builder, __: Scaled, x: Value, *, power: int = 1) -> Value:
        require(power == 1, f"power={power} is not written yet")
        return x

    with pytest.raises(UnsupportedOpError, match=r"scaled\.py:\d+.*Scaled.*power=2"):
        export(Model().eval(), X)
