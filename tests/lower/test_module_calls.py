"""What calls of whole modules may take, give and do, and which modules stay whole."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import export, export_and_compare
from lower.scaled import Model, Scaled, lower_scaled
from torchtract import TractNNEF, export_model_to_nnef
from torchtract.errors import CaptureError, LoweringError, UnsupportedOpError
from torchtract.lower import Builder, Value, lowers_module, scoped_lowerings

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
AXES = {"x": {0: "B", 1: "S"}}
SIZES = ({"B": 1, "S": 1}, {"B": 4, "S": 9})


@pytest.fixture(autouse=True)
def registrations() -> Iterator[None]:
    """Takes back what a test registers."""
    with scoped_lowerings():
        yield


class Held(nn.Module):
    """A module with another in it."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = self.held(x + 1)
        return given * 2


class Plus(nn.Module):
    """Defaults, an argument of either kind, and several tensors among what it returns."""

    def forward(
        self, x: Tensor, by: float = 2.0, *, other: Tensor | None = None
    ) -> tuple[Tensor, None, Tensor]:
        y = x * by
        return (y if other is None else y + other), None, x


def lower_plus() -> None:
    @lowers_module(Plus)
    def plus(
        b: Builder, _: Plus, x: Value, by: float = 9.0, *, other: Value | None = None
    ) -> tuple[Value, Value]:
        y = b.binary("mul", x, b.scalar(by, x.dtype))
        return (y if other is None else b.binary("add", y, other)), x


class OfPlus(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plus = Plus()

    def forward(self, x: Tensor) -> Tensor:
        first, nothing, _ = self.plus(x)
        assert nothing is None
        second, _, same = self.plus(x=first, other=x.sin())
        third, _, _ = self.plus(second, x.shape[1])
        result: Tensor = third + same
        return result


def test_arguments_are_bound_as_forward_binds_them_with_its_defaults() -> None:
    lower_plus()
    export_and_compare(OfPlus().eval(), X, dynamic_axes=AXES, sizes=SIZES)


def test_an_argument_that_the_lowering_does_not_take_is_refused_where_it_is_given() -> None:
    lowers_module(Plus)(lambda b, _, x: (b.binary("add", x, x), x))
    with pytest.raises(UnsupportedOpError, match=r"takes no argument other") as refusal:
        export(OfPlus().eval(), X)
    assert len(refusal.value.refusals) == 2  # the first call has the defaults


@pytest.mark.parametrize(
    ("lowering", "told"),
    [
        (lambda _b, _m, x, factor: x, "its parameter 'factor' is none of forward's"),  # noqa: ARG005
        (lambda _b, _m, by: by, "no parameter 'x', which each call gives"),
    ],
)
def test_parameters_that_forward_lacks_are_refused(lowering: Any, told: str) -> None:
    with pytest.raises(LoweringError, match=rf"@lowers_module\(Plus\).*{told}.*\(x.*, by.*\)"):
        lowers_module(Plus)(lowering)


class Any_(nn.Module):  # noqa: N801
    def forward(self, *xs: Tensor, **more: Any) -> Tensor:
        joined: Tensor = torch.cat(xs) * more["by"]
        return joined


class OfAny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.any = Any_()

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.any(x, x + 1, by=3)
        return joined


def test_any_number_of_arguments() -> None:
    @lowers_module(Any_)
    def joined(b: Builder, _: nn.Module, *xs: Value, by: int) -> Value:
        return b.binary("mul", b.concat(xs, 0), b.scalar(by, xs[0].dtype))

    export_and_compare(OfAny().eval(), X, dynamic_axes=AXES, sizes=SIZES)


class Other(Scaled):
    def forward(self, x: Tensor, *, power: int = 1) -> Tensor:
        return x.sin() * power


def test_what_computes_otherwise_is_traced_as_usual() -> None:
    met = lower_scaled()
    export_and_compare(Held(Other(4)).eval(), X)
    patched = Scaled(4).eval()
    patched.forward = torch.cos  # type: ignore[method-assign, assignment]
    export_and_compare(Held(patched), X)
    assert not met


def test_a_class_without_a_lowering_any_more_is_traced_as_usual() -> None:
    with scoped_lowerings():
        lowers_module(Other)(lambda b, _, x, power: x)  # noqa: ARG005
    export_and_compare(Held(Other(4)).eval(), X)


def test_hooks_on_the_module_run_once() -> None:
    lower_scaled()
    module = Scaled(4).eval()
    module.register_forward_hook(lambda _module, _args, output: torch.cat([output, output], 1))
    export_and_compare(Held(module), X, dynamic_axes=AXES, sizes=SIZES)


class Deep(nn.Module):
    """A module whose lowering is of no use where the one inside is taken first."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = Scaled(4)
        self.lstm = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = 0 * self.lstm(self.scaled(x))[0] + x[..., :3]
        return result


def test_modules_in_a_whole_one_are_part_of_it() -> None:
    met = lower_scaled()
    lowers_module(Deep)(lambda b, _, x: b.slice(x, 2, 0, 3))
    export_and_compare(Held(Deep()).eval(), X, dynamic_axes=AXES, sizes=SIZES)
    assert not met


class Written(nn.Module):
    count: Tensor

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "argument":
            x[:, 0].add_(1)
        elif self.how == "buffer":
            self.count += 1
        elif self.how == "another":
            self.count = self.count + 1
        return x * 2


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("argument", "writes to an argument in place"),
        ("buffer", "writes to its 'count' in place"),
        ("another", "gives its 'count' another value"),
    ],
)
def test_a_module_that_writes_is_refused(how: str, told: str) -> None:
    lowers_module(Written)(lambda b, _, x: b.binary("add", x, x))
    with pytest.raises(CaptureError, match=rf"held: this Written can't stay whole.*{told}"):
        export(Held(Written(how)).eval(), X)
    export_and_compare(Held(Written("none")).eval(), X)


class Remembers(nn.Module):
    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = x * 2
        return self.last


def test_what_a_module_keeps_is_taken_back() -> None:
    lowers_module(Remembers)(lambda b, _, x: b.binary("add", x, x))
    module = Remembers().eval()
    export(Held(module), X)
    assert module.last is None


@dataclasses.dataclass
class Pair:
    tensor: Tensor
    number: int


class OfPairs(nn.Module):
    def forward(self, pair: Pair) -> Pair:
        return Pair(pair.tensor + 1, pair.number)


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.of = OfPairs()

    def forward(self, x: Tensor) -> Tensor:
        pair: Pair = self.of(Pair(x, x.shape[0]))
        return pair.tensor * pair.number


def test_dataclasses_go_in_and_come_out() -> None:
    @lowers_module(OfPairs)
    def of_pairs(b: Builder, _: OfPairs, pair: Any) -> Value:
        return b.binary("add", pair.tensor, b.scalar(1, pair.tensor.dtype))

    export_and_compare(Pairs().eval(), X, dynamic_axes=AXES, sizes=SIZES)


class Opaque(nn.Module):
    def forward(self, x: Tensor, thing: object) -> Tensor:
        assert thing
        return x


@pytest.mark.parametrize("thing", [Path(), nn.ReLU], ids=["object", "class"])
def test_an_object_that_may_hold_anything_is_refused(thing: object) -> None:
    lowers_module(Opaque)(lambda _, __, x, thing: x)  # noqa: ARG005

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.opaque = Opaque()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.opaque(x, thing)
            return y

    with pytest.raises(
        CaptureError, match=r"opaque: this Opaque .* its forward gets a (\w*Path|type)"
    ):
        export(Model().eval(), X)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Scaled(4), Scaled(4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return x * self.one.weight + self.two.weight


def test_weights_that_are_one_stay_one(tmp_path: Path) -> None:
    @lowers_module(Tied)
    def tied(b: Builder, module: Tied, x: Value) -> Value:
        weight = b.constant(module.two.weight)
        return b.binary("add", b.binary("mul", x, weight), b.constant(module.one.weight))

    export_model_to_nnef(Held(Tied()).eval(), X, tmp_path / "m", TractNNEF(dynamic_axes=AXES))
    assert [path.name for path in (tmp_path / "m").glob("*.dat")] == ["held.one.weight.dat"]


def test_classes_of_pytorch_can_be_lowered_too() -> None:
    @lowers_module(nn.Linear)
    def linear(b: Builder, module: nn.Linear, input: Value) -> Value:  # noqa: A002
        met.append(module)
        return b.einsum("bsi,oi->bso", input, b.constant(module.weight.detach().clone()))

    met: list[nn.Module] = []
    model = nn.Sequential(
        nn.Linear(4, 3, bias=False),
        nn.ReLU(),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 2, bias=False)),
    )
    axes = {"input": AXES["x"]}
    export_and_compare(model.eval(), X, dynamic_axes=axes, sizes=SIZES)
    assert len(met) == 2


def test_threads_that_export_take_turns() -> None:
    lower_scaled()
    shared = Model().eval()
    exported: list[Any] = []

    def run() -> None:
        exported.append(export(shared, X, dynamic_axes=AXES))

    threads = [threading.Thread(target=copy_context().run, args=(run,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = shared(X).detach()
    assert len(exported) == 3
    for model in exported:
        torch.testing.assert_close(torch.from_numpy(model.compile()(X)), expected)


class Views(nn.Module):
    def forward(self, x: Tensor, how: str) -> Tensor:
        return x if how == "same" else x.transpose(1, 2) if how == "view" else x + 0


class Writes(nn.Module):
    def __init__(self, how: str, written: str) -> None:
        super().__init__()
        self.views, self.how, self.written = Views(), how, written

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x * 2
        x.add_(1)
        y = self.views(x, self.how)
        (x if self.written == "argument" else y)[0].mul_(3)
        return x, y


@pytest.mark.parametrize("written", ["argument", "result"])
def test_writes_to_memory_that_a_module_shared_are_refused(written: str) -> None:
    lowers_module(Views)(lambda b, _, x, how: b.transpose(x, [0, 2, 1]) if how == "view" else x)
    told = r"views: this Views .* in use elsewhere, to which aten.mul_.Tensor writes later"
    for how in ("same", "view"):
        with pytest.raises(CaptureError, match=told):
            export(Writes(how, written).eval(), X)
    export_and_compare(Writes("new", written).eval(), X, dynamic_axes=AXES)


def test_the_line_of_a_call_is_the_callers() -> None:
    lowers_module(Scaled)(lambda b, _, x, power: b.slice(x, 2, 0, 1))  # noqa: ARG005
    with pytest.raises(LoweringError, match=r"^[^:]*torch.nn.modules.container\.py:\d+ \(in mod"):
        export(nn.Sequential(Scaled(4)), X)
