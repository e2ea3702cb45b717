"""Operators of the user's own, with lowerings of their own, and lowerings in place of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from torchtract.errors import CaptureError, LoweringError, UnsupportedOpError
from torchtract.lower import Builder, Refusal, Value, lowering_of, lowers, scoped_lowerings

aten = torch.ops.aten


@torch.library.custom_op("torchtract_tests::clipped", mutates_args=())
def clipped(
    x: torch.Tensor, low: float, high: float | None = None, axes: list[int] | None = None
) -> torch.Tensor:
    return x.clamp(low, high).flip(axes or [0])


@clipped.register_fake
def _(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("torchtract_tests::halves", mutates_args=())
def halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[:, : x.shape[1] // 2].clone(), x[:, x.shape[1] // 2 :].clone()


@halves.register_fake
def _(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    half = x.shape[1] // 2
    return x.new_empty(x.shape[0], half), x.new_empty(x.shape[0], x.shape[1] - half)


@torch.library.custom_op("torchtract_tests::unknown", mutates_args=())
def unknown(x: torch.Tensor) -> torch.Tensor:
    return x + 1


@torch.library.custom_op("torchtract_tests::doubled_in_place", mutates_args=("x",))
def doubled_in_place(x: torch.Tensor) -> None:
    x.mul_(2)


MINE = torch.ops.torchtract_tests
X = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
AXES = {"x0": {0: "B", 1: "S"}}
SIZES = ({"B": 1, "S": 8}, {"B": 5, "S": 2}, {"B": 2, "S": 31})


@pytest.fixture(autouse=True)
def registrations() -> Iterator[None]:
    """Takes back what a test registers."""
    with scoped_lowerings():
        yield


def lower_clipped() -> None:
    @lowers(MINE.clipped.default)
    def lowering(
        b: Builder, x: Value, low: float, high: float | None, axes: list[int] | None
    ) -> Value:
        """clipped(Tensor x, float low, float? high=None, int[]? axes=None) -> Tensor"""
        if axes is not None:
            raise Refusal(f"flips of the axes {axes} are not written yet")
        x = b.binary("max", x, b.scalar(low, x.dtype))
        if high is not None:
            x = b.binary("min", x, b.scalar(high, x.dtype))
        function = lowering_of(aten.flip.default)
        assert function is not None
        flipped: Value = function.function(b, x, [0])
        return flipped


@pytest.mark.parametrize(
    "call",
    [
        lambda x: clipped(x, -0.5, 0.5),
        lambda x: clipped(x, -0.5),
        lambda x: clipped(x.exp(), low=0.5, high=2.0) + 1,
        lambda x: clipped(clipped(x, -1.0), -0.5, 0.5),
    ],
    ids=["positional", "default", "keywords", "twice"],
)
def test_an_operator_with_a_lowering_is_exported(call: Callable[..., Any]) -> None:
    lower_clipped()
    export_and_compare(call, X, dynamic_axes=AXES, sizes=SIZES)


def test_an_operator_may_give_several_tensors_of_sizes_with_symbols() -> None:
    @lowers(MINE.halves.default)
    def lowering(b: Builder, x: Value) -> tuple[Value, ...]:
        """halves(Tensor x) -> (Tensor, Tensor)"""
        middle = b.results[0].shape[1]
        return b.slice(x, 1, 0, middle), b.slice(x, 1, middle, x.shape[1])

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = halves(x)
        return second.sin(), first

    export_and_compare(both, X, dynamic_axes=AXES, sizes=SIZES)


def test_a_refusal_of_the_lowering_has_the_users_line() -> None:
    lower_clipped()
    match = (
        r"test_user_operators\.py:\d+.*torchtract_tests\.clipped\.default is refused, since flips"
    )
    with pytest.raises(UnsupportedOpError, match=match):
        export(lambda x: clipped(x, 0.0, axes=[1]), X)


def test_an_operator_without_a_lowering_is_refused_by_name() -> None:
    halves_refused = r"torchtract_tests\.halves\.default is refused.*register a lowering"
    with pytest.raises(UnsupportedOpError, match=f"(?s){halves_refused}"):
        export(lambda x: halves(x)[0], X)


def test_an_operator_without_a_fake_kernel_is_refused_by_name() -> None:
    with pytest.raises(CaptureError, match=r"torchtract_tests(::|\.)unknown"):
        export(unknown, X)


def test_an_operator_that_changes_its_input_is_refused() -> None:
    def changed(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        doubled_in_place(y)
        return y

    with pytest.raises((CaptureError, UnsupportedOpError), match="doubled_in_place"):
        export(changed, X)


@pytest.mark.parametrize(
    ("lowering", "told"),
    [
        (lambda b, x: b.cast(x, torch.float64), r"torch.float64\[3, 8\]"),
        (lambda b, x: b.unsqueeze(x, [0]), r"torch.float32\[1, 3, 8\]"),
        (lambda b, x: b.slice(x, 1, 0, 3), r"torch.float32\[3, 3\]"),
        (lambda *_: (), "gives nothing"),
        (lambda *_: "x", "gives a str"),
        (lambda *_: None, "gives a NoneType"),
        (lambda *_: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["type", "rank", "size", "nothing", "text", "none", "error"],
)
def test_a_lowering_that_does_not_fit_the_operator_is_a_typed_error(
    lowering: Callable[..., Any], told: str
) -> None:
    def sin(b: Builder, x: Value) -> Any:
        return lowering(b, x)

    lowers(aten.sin.default, replace=True)(sin)
    with pytest.raises(LoweringError, match=told) as caught:
        export(lambda x: x.sin(), X)
    assert "test_user_operators.py" in str(caught.value)
    assert "aten.sin.default" in str(caught.value)


def test_a_lowering_may_give_its_input_or_a_number() -> None:
    lowers(MINE.unknown.default)(lambda _, x: x)
    unknown.register_fake(torch.empty_like)
    model = export(lambda x: (unknown(x), unknown(x) * 2), X)
    given = model.compile()(X.numpy())
    assert (given[0] == X.numpy()).all()
    assert (given[1] == 2 * X.numpy()).all()


def test_a_lowering_is_replaced_on_purpose_only() -> None:
    with pytest.raises(LoweringError, match="replace=True"):
        lowers(aten.gelu.default)(lambda _, x: x)

    @lowers(aten.gelu.default, replace=True)
    def gelu(b: Builder, x: Value) -> Value:
        """gelu(Tensor self, *, str approximate='none') -> Tensor"""
        sigmoid = b.emit("sigmoid", b.binary("mul", x, b.scalar(1.702, x.dtype)))
        return b.binary("mul", x, sigmoid)

    model = export(torch.nn.GELU(), X)
    torch.testing.assert_close(torch.tensor(model.compile()(X)), X * torch.sigmoid(1.702 * X))
