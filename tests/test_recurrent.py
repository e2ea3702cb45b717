"""Recurrent layers stay one operator while tracing, and that operator is PyTorch's layer."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn.utils.rnn import pack_padded_sequence

from torchtract.errors import CaptureError
from torchtract.recurrent import whole_recurrent_layers

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}


def layer(name: str, *sizes: int, **settings: Any) -> nn.Module:
    if name == "rnn_relu":
        settings["nonlinearity"] = "relu"
    module: nn.Module = LAYERS[name](*sizes, **settings)
    return module.eval()


def traced(module: nn.Module, *args: Any, dynamic: Any = None) -> torch.export.ExportedProgram:
    with whole_recurrent_layers(), torch.no_grad():
        return torch.export.export(module.eval(), args, dynamic_shapes=dynamic, strict=False)


def calls(program: torch.export.ExportedProgram, name: str) -> list[torch.fx.Node]:
    operator = getattr(torch.ops.torchtract, name).default
    return [node for node in program.graph.nodes if node.target is operator]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_traced_whole_and_sizes_stay_symbolic(name: str) -> None:
    both = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    program = traced(layer(name, 4, 5, 2), torch.randn(7, 3, 4), dynamic=(both,))

    (call,) = calls(program, name)
    assert not any(isinstance(size, int) for size in call.meta["val"][0].shape[:2])
    x = torch.randn(11, 2, 4)
    torch.testing.assert_close(program.module()(x)[0].shape, torch.Size([11, 2, 5]))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("settings", [{}, {"bidirectional": True}, {"batch_first": True}])
def test_the_operator_is_the_layer(name: str, settings: dict[str, bool]) -> None:
    module, x = layer(name, 4, 5, 2, **settings), torch.randn(7, 3, 4)

    expected, given = module(x), traced(module, x).module()(x)

    torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_shapes_are_known_without_computing(
    name: str, bidirectional: bool, batch_first: bool
) -> None:
    settings: dict[str, Any] = {"bidirectional": bidirectional, "batch_first": batch_first}
    if name == "lstm":
        settings["proj_size"] = 3
    module, x = layer(name, 4, 5, 2, **settings), torch.randn(7, 3, 4)
    (call,) = calls(traced(module, x), name)

    known = [(t.shape, t.dtype) for t in call.meta["val"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of projections, which a library of torch's lacks
        sequence, states = module(x)
    states = states if isinstance(states, tuple) else (states,)

    assert known == [(t.shape, t.dtype) for t in (sequence, *states)]


def test_outside_of_the_context_nothing_changes() -> None:
    module, x = layer("gru", 4, 5), torch.randn(7, 3, 4)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the weights' list, see torchtract.recurrent
        program = torch.export.export(module, (x,), strict=False)

    assert calls(program, "gru") == []


def test_tracing_a_layer_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    traced(nn.Sequential(nn.ReLU(), layer("lstm", 4, 5, 2)), torch.randn(7, 3, 4))

    assert [str(w.message) for w in recwarn if "_flat_weights" in str(w.message)] == []


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 5)
        self.last = torch.zeros(7, 3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = x + self.last
        sequence: torch.Tensor = self.layer(x)[0]
        return sequence


def test_a_tensor_that_forward_assigns_is_still_warned_of() -> None:
    with pytest.warns(UserWarning, match="self.last"):
        traced(Remembering(), torch.randn(7, 3, 4))


@pytest.mark.parametrize("name", LAYERS)
def test_the_operator_form_is_kept_whole_too(name: str) -> None:
    module = layer(name, 4, 5)
    operator = getattr(torch.ops.aten, name).input

    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: torch.Tensor) -> Any:
            h = x.new_zeros(1, x.shape[1], 5)
            hx = [h, h] if name == "lstm" else h
            weights = list(self.layer.parameters())
            return operator(x, hx, weights, True, 1, 0.0, False, False, False)

    assert len(calls(traced(Called(), torch.randn(7, 3, 4)), name)) == 1


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden: torch.Tensor = self.layer(packed)[1][0]
        return hidden


def test_a_layer_of_packed_sequences_is_one_operator_with_lengths() -> None:
    program = traced(Packed(), torch.randn(3, 7, 4), torch.tensor([7, 2, 5]))
    assert len(calls(program, "lstm")) == 1
    for lengths in ([7, 2, 5], [1, 6, 3]):
        args = torch.randn(3, 7, 4), torch.tensor(lengths)
        module = Packed()
        module.load_state_dict(program.state_dict)
        torch.testing.assert_close(program.module()(*args), module(*args))


def test_a_layer_that_gets_a_packed_sequence_is_refused() -> None:
    module = layer("gru", 4, 5)
    data, batch_sizes = torch.randn(5, 4), torch.tensor([2, 2, 1])
    weights = tuple(module.parameters())

    with whole_recurrent_layers(), pytest.raises(CaptureError, match="packed sequence"):
        torch.gru(data, batch_sizes, torch.zeros(1, 2, 5), weights, True, 1, 0.0, False, False)
