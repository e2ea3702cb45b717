"""The first operation that differs: found by its module and line, or said not to exist."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import Lower
from harness import Function, export
from torchtract import TractNNEF, check_io, export_model_to_nnef
from torchtract.capture import capture
from torchtract.check import locate as locating
from torchtract.check.locate import Lowered, locate
from torchtract.check.trial import Trial
from torchtract.decompose import decompose
from torchtract.errors import EngineError, MismatchError, RunError
from torchtract.lower import Builder, Value, lower, lowering_of, lowers, scoped_lowerings

aten = torch.ops.aten


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.act = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        activated: torch.Tensor = self.act(y)  # the line that is to be named
        return x + activated


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = torch.tanh(block(x))
        return torch.exp(x)


LINE = next(
    number
    for number, text in enumerate(Path(__file__).read_text().splitlines(), 1)
    if "the line that is to be named" in text
)


def plus_one(b: Builder, right: Value) -> Value:
    return b.binary("add", right, b.scalar(1, right.dtype))


def exported(
    module: Callable[..., Any],
    *args: torch.Tensor,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    if not isinstance(module, nn.Module):
        module = Function(module)
    with tempfile.TemporaryDirectory() as folder:
        target = TractNNEF(dynamic_axes=dynamic_axes or {})
        export_model_to_nnef(module.eval(), args, Path(folder) / "model.nnef.tar", target)


def mismatch(*args: Any, **options: Any) -> MismatchError:
    with pytest.raises(MismatchError) as error:
        exported(*args, **options)
    return error.value


@pytest.fixture
def x() -> torch.Tensor:
    return torch.linspace(-2, 2.5, 24).reshape(2, 3, 4)


def test_an_operation_in_a_nested_module_is_named(lower_wrongly: Lower, x: torch.Tensor) -> None:
    calls: Iterator[bool] = iter([False, True])  # the second block alone is wrong
    lower_wrongly(aten.gelu.default, lambda b, y: plus_one(b, y) if next(calls, True) else y)
    model = Model()

    def restart(_module: nn.Module, _args: Any) -> None:
        nonlocal calls
        calls = iter([False, True])

    model.register_forward_pre_hook(restart)

    error = mismatch(model, x, dynamic_axes={"x": {0: "B", 1: "S"}})

    assert error.operation == "aten.gelu.default"
    assert error.module == "blocks.1.act"
    assert error.source == f"{__file__}:{LINE}"
    assert error.node == "blocks_1_act_gelu"
    assert error.output == "output"
    found = "The first operation that differs is aten.gelu.default in blocks.1.act"
    assert f"{found} ({__file__}:{LINE}): tract " in str(error)


def test_both_values_are_told(lower_wrongly: Lower) -> None:
    lower_wrongly(aten.neg.default, plus_one)

    error = mismatch(lambda x: (x * 2).neg() * 3, torch.tensor([0.25, 0.5]))

    assert "differs is aten.neg.default" in str(error)
    assert str(error).endswith(": tract 0.5, PyTorch -0.5 at [0].")


def test_a_difference_at_other_sizes_only_is_found_there(
    lower_wrongly: Lower, x: torch.Tensor
) -> None:
    def right_at_two(b: Builder, right: Value) -> Value:
        size = b.cast(b.scalar(right.shape[0], torch.int64), torch.float32)
        return b.binary("add", right, b.binary("sub", size, b.scalar(2, torch.float32)))

    lower_wrongly(aten.tanh.default, right_at_two)

    error = mismatch(Model(), x, dynamic_axes={"x": {0: "B"}})

    assert "output 'output' at B=1: " in str(error)
    assert (error.operation, error.module) == ("aten.tanh.default", "")


@pytest.mark.parametrize(
    ("overload", "function", "values"),
    [
        (aten.argmax.default, lambda x: (x * 2).argmax(1) * 2, "tract 2, PyTorch 1 at [0]"),
        (aten.gt.Scalar, lambda x: (x > 1).float(), "tract True, PyTorch False at [0, 0]"),
        (aten.exp.default, lambda x: (x * 99).exp().log(), "tract 1.0, PyTorch inf at [1, 0]"),
        (aten.log.default, lambda x: (-x).log().exp(), "tract 0.0, PyTorch nan at [0, 0]"),
    ],
)
def test_other_than_ordinary_numbers(
    lower_wrongly: Lower, overload: Any, function: Callable[..., Any], values: str
) -> None:
    def change(b: Builder, right: Value) -> Value:
        if right.dtype == torch.int64:
            return plus_one(b, right)
        if right.dtype == torch.bool:
            return b.emit("not", right)
        finite = b.binary("lt", right, b.scalar(100, right.dtype), torch.bool)
        if overload is aten.exp.default:
            return b.where(finite, right, b.scalar(1, right.dtype))
        return b.scalar(0, right.dtype) if not right.shape else b.full(0, right.dtype, right.shape)

    lower_wrongly(overload, change)

    error = mismatch(function, torch.tensor([[0.5, 0.75], [2.0, 3.0]]))

    assert error.operation == str(overload)
    assert values in str(error)


def test_an_operation_on_complex_numbers_is_named(x: torch.Tensor) -> None:
    lowering = lowering_of(aten.exp.default, of_complex=True)
    assert lowering is not None
    right = lowering.function

    def turned(b: Builder, x: Value) -> Value:
        z: Value = right(b, x)
        return dataclasses.replace(z, imag=b.emit("neg", z.imag))

    with scoped_lowerings():
        lowers(aten.exp.default, of_complex=True, replace=True)(turned)
        error = mismatch(lambda z: -((z * 2).exp() + 1), torch.complex(x, x))

    assert (error.operation, error.node) == ("aten.exp.default", "exp")


def test_another_shape(lower_wrongly: Lower, x: torch.Tensor) -> None:
    def shorter(b: Builder, right: Value) -> Value:
        return dataclasses.replace(b.slice(right, 2, 0, 3), shape=right.shape)

    lower_wrongly(aten.tanh.default, shorter)

    error = mismatch(lambda x: x.exp().tanh().sum(-1), x)

    assert error.operation == "aten.tanh.default"
    assert "tract float32[2, 3, 3], PyTorch float32[2, 3, 4]." in str(error)


def test_another_shape_that_tract_stumbles_over(lower_wrongly: Lower, x: torch.Tensor) -> None:
    def turned(b: Builder, right: Value) -> Value:
        return dataclasses.replace(b.transpose(right, [0, 2, 1]), shape=right.shape, view=None)

    lower_wrongly(aten.exp.default, turned)

    with pytest.raises(EngineError, match=r"(?s)broadcast.*differs is aten\.exp\.default") as error:
        exported(lambda x: x.tanh().exp() + x, x)

    assert not isinstance(error.value, MismatchError)


def test_an_operation_that_tract_cannot_compute(lower_wrongly: Lower, x: torch.Tensor) -> None:
    def broken(b: Builder, right: Value) -> Value:
        return b.emit("tract_core_broadcast", right, [5, 3, 4], like=right)

    lower_wrongly(aten.exp.default, broken)

    with pytest.raises(
        RunError, match=r"The first operation that tract can't compute is aten\.exp"
    ):
        exported(lambda x: (x.tanh().exp() + x).neg(), x)


@pytest.mark.parametrize("before", [torch.clone, torch.exp])
def test_a_call_that_became_its_own_input(before: Callable[..., Any], x: torch.Tensor) -> None:
    with scoped_lowerings():
        lowers(aten.tanh.default, replace=True)(lambda _, x: x)

        assert mismatch(lambda x: before(x).tanh() * 2, x).operation == "aten.tanh.default"


def test_a_call_that_became_a_constant(lower_wrongly: Lower, x: torch.Tensor) -> None:
    lower_wrongly(aten.tanh.default, lambda b, _: b.constant(torch.ones(2, 3, 4)))

    assert mismatch(lambda x: x.exp().tanh() * 2, x).operation == "aten.tanh.default"


def test_only_what_the_output_depends_on_is_searched(lower_wrongly: Lower, x: torch.Tensor) -> None:
    # Too small a difference to refuse the first output, and an intermediate of it is far off.
    lower_wrongly(aten.exp.default, plus_one)
    lower_wrongly(aten.tanh.default, plus_one)

    error = mismatch(lambda x: ((x.exp() > 0) * 1, x.sin().tanh()), x)

    assert (error.output, error.operation) == ("output_1", "aten.tanh.default")


def test_a_part_of_a_decomposed_call_is_told_as_such(lower_wrongly: Lower, x: torch.Tensor) -> None:
    lower_wrongly(aten.mul.Tensor, plus_one)

    error = mismatch(lambda x: nn.functional.huber_loss(x.exp(), x), x)

    assert "aten.mul.Tensor (part of aten.huber_loss.default)" in str(error)


def test_recurrent_layers_and_views_before_it_are_no_obstacle(lower_wrongly: Lower) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, (_, c) = self.rnn(x)
            q, k = y.unflatten(-1, (2, 3, 2)).transpose(1, 2).unbind(-1)
            scores = q @ k.transpose(-1, -2)
            weights: torch.Tensor = torch.sigmoid(scores.softmax(-1))
            return weights.flatten(1).sum(1) + torch.sum(c)

    lower_wrongly(aten.sigmoid.default, plus_one)

    error = mismatch(Heads(), torch.rand(2, 5, 4), dynamic_axes={"x": {0: "B", 1: "S"}})

    assert error.operation == "aten.sigmoid.default"


def test_memory_that_nobody_wrote_to_is_not_compared(lower_wrongly: Lower) -> None:
    lower_wrongly(aten.tanh.default, plus_one)

    def masked(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x < 9, x, torch.empty(8).fill_(torch.nan).new_empty(8)).tanh()

    assert mismatch(masked, torch.rand(8)).operation == "aten.tanh.default"


def test_a_few_bytes_at_a_time(
    lower_wrongly: Lower, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locating, "_CHUNK", 200)  # two tensors of x's size
    lower_wrongly(aten.exp.default, plus_one)
    ran: list[list[str]] = []
    by_tract = locating._Search._by_tract

    def noted(search: Any, names: list[str]) -> dict[str, np.ndarray]:
        ran.append(names)
        return by_tract(search, names)

    monkeypatch.setattr(locating._Search, "_by_tract", noted)

    assert mismatch(lambda x: x.sin().tanh().neg().cos().exp().sin().cos(), x).node == "exp"
    assert ran == [["sin", "tanh", "neg"], ["cos", "exp", "sin_1"]]


class Drawing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.zeros(4) if torch.compiler.is_exporting() else torch.rand(4) + 1
        return torch.tanh(x + noise)


def test_a_program_that_is_not_the_module_is_told(x: torch.Tensor) -> None:
    error = mismatch(Drawing(), x)

    assert "No operation differs: the program that torch.export captured gives other" in str(error)
    assert (error.operation, error.module, error.source, error.node) == (None,) * 4


@pytest.mark.parametrize(("output", "verb"), [("output", "differs"), (None, "fails")])
def test_a_difference_of_fused_operations_only_is_told(
    x: torch.Tensor, tmp_path: Path, output: str | None, verb: str
) -> None:
    model = Model().eval()
    captured = capture(model, (x,))
    program = decompose(captured.program, captured.symbols)
    graph, tensors = lower(program, captured.inputs, None, captured.symbols)
    trial = Trial.of(model, (x,), {}, captured.inputs, graph.outputs, {})
    lowered = Lowered(program, graph, tensors, "0.23.9")

    found = locate(lowered, trial, output, "approximate", tmp_path)

    assert f"the last, aten.exp.default ({__file__}:" in str(found)
    assert f"It {verb} only when operations are fused." in str(found)
    assert found.operation is None
    assert not list(tmp_path.iterdir())


def test_a_search_that_fails_does_not_hide_the_difference(
    lower_wrongly: Lower, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_search: Any, _names: list[str]) -> dict[str, np.ndarray]:
        raise OSError("no space left")

    monkeypatch.setattr(locating._Search, "_by_tract", full)
    lower_wrongly(aten.exp.default, plus_one)

    error = mismatch(Model(), x)

    assert "was not found: OSError('no space left')" in str(error)
    assert error.max_abs == pytest.approx(1, rel=1e-3)


def test_a_check_without_the_program_says_nothing_of_operations(x: torch.Tensor) -> None:
    model = export(torch.exp, x)

    with pytest.raises(MismatchError) as error:
        check_io(Function(torch.tanh), model, x)

    assert "operation" not in str(error.value)
    assert error.value.operation is None
