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
    match = r"test_user_operators\.py:\d+.*torchtract_tests::unknown.*register_fake"
    with pytest.raises(CaptureError, match=match):
        export(lambda x: unknown(x), X)  # noqa: PLW0108  (its line is in the message)


def test_an_operator_of_a_library_without_a_fake_kernel_too() -> None:
    with torch.library._scoped_library("torchtract_tests", "FRAGMENT") as library:
        library.define("bare(Tensor x) -> Tensor")
        library.impl("bare", lambda x: x + 1, "CPU")
        with pytest.raises(CaptureError, match=r'register_fake\("torchtract_tests::bare"\)'):
            export(lambda x: MINE.bare(x), X)  # noqa: PLW0108  (the operator is new)


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
        (lambda _, x: (x, x), r"gives torch.float32\[3, 8\], torch.float32\[3, 8\], and"),
        (lambda b, x: b.scalar(1.0, x.dtype), r"gives torch.float32\[\], and"),
        (lambda *_: torch.ones(3, 8), "gives a Tensor"),
        (lambda b, x: b.emit("no_such", x), "no_such: is no operator"),
        (lambda b, x: b.emit("no_such", x=x, like=x), "no_such: is no operator"),
        (lambda b, x: b.emit("relu", x, alpha=1), r"relu\(x\): can't be called with .* alpha"),
        (lambda b, x: b.emit("relu", x, x), r"relu\(x\): can't be called with 2 operands"),
        (lambda *_: "x", "gives a str"),
        (lambda *_: None, "gives a NoneType"),
        (lambda *_: 1 / 0, "ZeroDivisionError"),
    ],
    ids=[
        *("type", "rank", "size", "nothing", "two", "literal", "tensor", "no operator"),
        *("none by name", "no parameter", "too many", "text", "none", "error"),
    ],
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


@torch.library.custom_op("torchtract_tests::joined", mutates_args=())
def joined(
    xs: list[torch.Tensor],
    bias: torch.Tensor | None,
    times: int,
    mode: str,
    *,
    shape: list[int],
    kind: torch.dtype | None = None,
) -> list[torch.Tensor]:
    total = torch.cat(xs, 1) * times
    total = total if bias is None else total + bias
    return [
        (total if mode == "plain" else -total).reshape(shape),
        xs[0].to(kind or xs[0].dtype, copy=True),
    ]


@joined.register_fake
def _(
    xs: list[torch.Tensor], *_: Any, shape: list[int], kind: torch.dtype | None = None
) -> list[torch.Tensor]:
    return [xs[0].new_empty(shape), torch.empty_like(xs[0], dtype=kind)]


def lower_joined() -> None:
    @lowers(joined)
    def lowering(
        b: Builder,
        xs: list[Value],
        bias: Value | None,
        times: Any,
        mode: str,
        shape: list[Any],
        kind: torch.dtype | None,
    ) -> list[Value]:
        total = b.concat(xs, 1)
        total = b.binary("mul", total, b.scalar(times, total.dtype))
        total = total if bias is None else b.binary("add", total, bias)
        total = total if mode == "plain" else b.emit("neg", total)
        return [b.reshape(total, shape), b.cast(xs[0], kind or xs[0].dtype)]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: joined([x, x.sin()], None, 2, "plain", shape=[x.shape[0], 16]),
        lambda x: joined([x], x[:1], x.shape[0], "minus", shape=[x.shape[0] * 8]),
        lambda x: joined([x], bias=x, times=3, mode="", shape=[8, x.shape[0]], kind=torch.int64),
    ],
    ids=["lists", "sizes", "types"],
)
def test_arguments_of_every_kind_reach_the_lowering(call: Callable[..., Any]) -> None:
    lower_joined()
    export_and_compare(call, X, dynamic_axes={"x0": {0: "B"}}, sizes=({"B": 1}, {"B": 7}))


def test_a_lowering_computes_with_sizes_as_python_does() -> None:
    @lowers(halves)
    def lowering(b: Builder, x: Value) -> tuple[Value, ...]:
        size: Any = x.shape[1]
        middle = size // 2
        return b.slice(x, 1, 0, middle), b.slice(x, 1, middle, middle - -size // 2 + size % 2 * 0)

    export_and_compare(lambda x: halves(x), X, dynamic_axes=AXES, sizes=SIZES)  # noqa: PLW0108


def test_a_size_that_is_wrong_only_with_its_symbol_is_found() -> None:
    @lowers(halves)
    def lowering(b: Builder, x: Value) -> tuple[Value, ...]:
        size: Any = x.shape[1]
        return b.slice(x, 1, 0, size - 1), b.slice(x, 1, size // 2, size)

    with pytest.raises(
        LoweringError, match=r"halves\.default.*lowering .*test_user_op.*\[3, S - 1\]"
    ):
        export(halves, X, dynamic_axes={"x0": {1: "S"}})


def test_an_operator_of_a_library_is_lowered_whatever_it_is_made_of() -> None:
    with torch.library._scoped_library("torchtract_tests", "FRAGMENT") as library:
        library.define("blend(Tensor x, Tensor self, int n=1) -> Tensor")
        library.impl("blend", lambda x, other, n=1: x + 2 * n * other, "CompositeImplicitAutograd")

        @lowers(MINE.blend.default)
        def lowering(b: Builder, x: Value, self: Value, n: int) -> Value:
            return b.binary("add", x, b.binary("mul", self, b.scalar(2 * n, self.dtype)))

        model = export_and_compare(lambda x: MINE.blend(x, x.exp(), 3), X)
    assert model.outputs[0].shape == (3, 8)


def test_an_operator_that_writes_can_have_no_lowering() -> None:
    with pytest.raises(LoweringError, match=r"doubled_in_place.*writes to its arguments.*mutates"):
        lowers(doubled_in_place)(lambda _, x: x)


def test_a_fragment_of_the_users_own() -> None:
    body = (
        "(x: tensor<scalar>, by: scalar) -> (y: tensor<scalar>)\n{\n  y = x * sigmoid(x * by);\n}"
    )

    @lowers(aten.silu.default, replace=True)
    def silu(b: Builder, x: Value) -> Value:
        # tract would take a fragment called `relu` for its own in the whole graph.
        return b.emit(b.fragment("relu", body), x, 1.0)

    export_and_compare(torch.nn.Sequential(torch.nn.SiLU(), torch.nn.ReLU()), X)
