"""Recurrent layers and cells give PyTorch's numbers at every length and batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform
from torchtract import TractNNEF, export_model_to_nnef
from torchtract.errors import UnsupportedOpError
from torchtract.lower import lower
from torchtract.runtime import Model

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN:UserWarning"
)

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn_tanh": nn.RNNCell, "rnn_relu": nn.RNNCell}
SIZES = [{"S": 1, "B": 1}, {"S": 1, "B": 4}, {"S": 9, "B": 1}, {"S": 40, "B": 2}]


def filled(module: nn.Module) -> nn.Module:
    """The module with weights large enough that gates open, close and saturate."""
    with torch.no_grad():
        for seed, weight in enumerate(module.parameters()):
            weight.copy_(uniform(*weight.shape, low=-0.9, high=0.9, seed=seed))
    return module


def layer(name: str, *sizes: int, **settings: Any) -> nn.Module:
    if name == "rnn_relu":
        settings["nonlinearity"] = "relu"
    module = filled(LAYERS[name](*sizes, **settings))
    if name == "rnn_relu":  # which has no bound: keep it from growing with the length
        with torch.no_grad():
            [w.mul_(0.3) for w in module.parameters()]
    return module


def cell(name: str, *sizes: int, **settings: Any) -> nn.Module:
    if name == "rnn_relu":
        settings["nonlinearity"] = "relu"
    return filled(CELLS[name](*sizes, **settings))


def compare_symbolic(module: nn.Module, features: int) -> Model:
    """Export with both axes symbolic and compare at many sizes."""
    axes = {"input": {0: "S", 1: "B"}}
    if getattr(module, "batch_first", False):
        axes = {"input": {0: "B", 1: "S"}}
    return export_and_compare(module, uniform(5, 3, features), dynamic_axes=axes, sizes=SIZES)


def graph_text(module: nn.Module, args: tuple[Any, ...], folder: Path, version: str) -> str:
    """The text of a module's export, checked at several sizes of its first axis."""
    target = TractNNEF(version=version, dynamic_axes={"input": {0: "S"}})
    export_model_to_nnef(module.eval(), args, folder / version, target)
    return (folder / version / "graph.nnef").read_text("utf-8")


# Layers.


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias": False},
        {"batch_first": True},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
        {"num_layers": 2, "dropout": 0.5},  # off in evaluation
    ],
    ids=str,
)
def test_layers(name: str, settings: dict[str, Any]) -> None:
    compare_symbolic(layer(name, 6, 5, **settings), 6)


@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": False, "batch_first": True}, {"num_layers": 2, "bidirectional": True}],
    ids=str,
)
def test_lstm_with_projections(settings: dict[str, Any]) -> None:
    compare_symbolic(layer("lstm", 6, 5, proj_size=3, **settings), 6)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_one_feature(name: str) -> None:
    compare_symbolic(layer(name, 1, 1, 2, bidirectional=True), 1)


@pytest.mark.parametrize("name", LAYERS)
def test_large_layers(name: str) -> None:
    module = LAYERS[name](70, 96, 2, bidirectional=True, batch_first=True)
    model = compare_symbolic(module, 70)
    assert model.outputs[0].shape == ("B", "S", 192)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(1, 3), (4, 1)])
def test_fixed_sizes(name: str, shape: tuple[int, int]) -> None:
    # A single step is no loop for tract, which then meets the first state as it is.
    export_and_compare(layer(name, 6, 5, 2, bidirectional=True), uniform(*shape, 6))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_without_a_batch_axis(name: str, batch_first: bool) -> None:
    module = layer(name, 6, 5, 2, bidirectional=True, batch_first=batch_first)
    axes = {"input": {0: "S"}}
    sizes = [{"S": 1}, {"S": 2}, {"S": 33}]
    export_and_compare(module, uniform(5, 6), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("name", LAYERS)
def test_between_other_operations(name: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Conv1d(6, 8, 3, stride=2)
            self.layer = layer(name, 8, 5, batch_first=True)
            self.after = nn.Linear(5, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, _ = self.layer(self.before(x).relu().transpose(1, 2))
            z: torch.Tensor = self.after(y[:, -1])
            return z

    sizes = [{"B": 1, "S": 3}, {"B": 2, "S": 50}]
    axes = {"x": {0: "B", 2: "S"}}
    export_and_compare(Model(), uniform(3, 6, 11), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("name", LAYERS)
def test_repeated_rows(name: str) -> None:
    """Tensors that tract knows to be one row repeated."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer(name, 6, 5)
            self.row = nn.Parameter(uniform(6))

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(self.row.expand(x.shape[0], x.shape[1], 6))

    sizes = [{"S": 1, "B": 4}, {"S": 7, "B": 1}]
    export_and_compare(Model(), uniform(5, 3), dynamic_axes={"x": {0: "S", 1: "B"}}, sizes=sizes)


# States.


def states_of(name: str, *shape: int) -> Any:
    h, c = uniform(*shape, low=-1, high=1, seed=7), uniform(*shape, seed=8)
    return (h, c) if name == "lstm" else h


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_given_states(name: str, batch_first: bool) -> None:
    module = layer(name, 6, 5, 2, bidirectional=True, batch_first=batch_first)
    shape = (3, 4, 6) if batch_first else (4, 3, 6)
    hx = states_of(name, 4, 3, 5)
    names = ["input", "h", "c"] if name == "lstm" else ["input", "h"]
    axes = {"input": {0: "B", 1: "S"} if batch_first else {0: "S", 1: "B"}}
    axes |= {state: {1: "B"} for state in names[1:]}

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: torch.Tensor, *hx: torch.Tensor) -> Any:
            return self.layer(x, hx if name == "lstm" else hx[0])

    flat = hx if name == "lstm" else (hx,)
    export_and_compare(
        Flat(), uniform(*shape), *flat, input_names=names, dynamic_axes=axes, sizes=SIZES
    )


def test_given_states_of_a_projection() -> None:
    module = layer("lstm", 6, 5, proj_size=3)

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
            return self.layer(x, (h, c))

    axes = {"x": {0: "S", 1: "B"}, "h": {1: "B"}, "c": {1: "B"}}
    states = uniform(1, 3, 3, low=-1, high=1), uniform(1, 3, 5)
    export_and_compare(Flat(), uniform(4, 3, 6), *states, dynamic_axes=axes, sizes=SIZES)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("length", [1, 4])
def test_learned_first_states(name: str, length: int) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer(name, 6, 5)
            self.first = nn.Parameter(uniform(1, 1, 5, low=-1, high=1))

        def forward(self, x: torch.Tensor) -> Any:
            h = self.first.expand(1, x.shape[1], 5)
            return self.layer(x, (h, 2 * h) if name == "lstm" else h)

    axes, sizes = {"x": {1: "B"}}, [{"B": 1}, {"B": 6}]
    export_and_compare(Model(), uniform(length, 3, 6), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("name", LAYERS)
def test_states_of_another_layer(name: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = layer(name, 6, 5), layer(name, 4, 5)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return self.decoder(y, self.encoder(x)[1])

    axes = {"x": {0: "S", 1: "B"}, "y": {0: "T", 1: "B"}}
    sizes = [{"S": 1, "T": 9, "B": 1}, {"S": 20, "T": 1, "B": 2}]
    export_and_compare(Model(), uniform(5, 3, 6), uniform(7, 3, 4), dynamic_axes=axes, sizes=sizes)


def test_only_states_that_come_from_an_input_begin_again_each_turn(tmp_path: Path) -> None:
    x, h = uniform(5, 1, 6), uniform(1, 1, 5)

    default = graph_text(layer("gru", 6, 5), (x,), tmp_path, "0.23.8")
    given = graph_text(layer("gru", 6, 5), (x, h), tmp_path, "0.23.9")

    assert "reset_every_turn" not in default
    assert "reset_every_turn = 1" in given


# Cells.


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("bias", "given"), [(True, False), (False, True), (True, True)])
def test_cells(name: str, bias: bool, given: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell(name, 6, 5, bias=bias)

        def forward(self, x: torch.Tensor, *hx: torch.Tensor) -> Any:
            if not hx:
                return self.cell(x)
            return self.cell(x, hx if name == "lstm" else hx[0])

    states = states_of(name, 3, 5)
    args = (states if name == "lstm" else (states,)) if given else ()
    names = ["x", "h", "c"][: 1 + len(args)]
    axes = {n: {0: "B"} for n in names}
    sizes = [{"B": 1}, {"B": 8}]
    export_and_compare(
        Model(), uniform(3, 6), *args, input_names=names, dynamic_axes=axes, sizes=sizes
    )


@pytest.mark.parametrize("name", CELLS)
def test_cells_without_a_batch_axis(name: str) -> None:
    export_and_compare(cell(name, 6, 5), uniform(6))


@pytest.mark.parametrize("name", CELLS)
def test_cells_in_a_loop(name: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell(name, 6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hx, outputs = None, []
            for step in x.unbind(1):
                hx = self.cell(step, hx)
                outputs.append(hx[0] if isinstance(hx, tuple) else hx)
            return torch.stack(outputs, 1)

    axes, sizes = {"x": {0: "B"}}, [{"B": 1}, {"B": 8}]
    export_and_compare(Model(), uniform(3, 4, 6), dynamic_axes=axes, sizes=sizes)


# Files, versions, element types.


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in LAYERS),
        ("lstm", {"proj_size": 3}),
        ("gru", {"bias": False, "bidirectional": True}),
    ],
)
def test_old_versions_get_operators_that_they_have(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    module = layer(name, 6, 5, 2, **settings)

    text = graph_text(module, (uniform(4, 3, 6),), tmp_path, "0.21.13")

    assert "tract_core_scan" in text
    assert "_epilogue" not in text


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_new_versions_get_fused_steps(name: str, tmp_path: Path) -> None:
    text = graph_text(layer(name, 6, 5), (uniform(4, 3, 6),), tmp_path, "0.23.9")

    assert f"tract_core_{name}_epilogue" in text


@pytest.mark.parametrize("name", LAYERS)
def test_weights_are_variables_named_as_in_the_state_dict(name: str, tmp_path: Path) -> None:
    module = layer(name, 6, 5, 2, bidirectional=True)

    text = graph_text(module, (uniform(4, 3, 6),), tmp_path, "0.23.9")

    for weight in module.state_dict():
        assert text.count(f"label = '{weight}'") == 1
    assert text.count("variable<") == len(module.state_dict())


def test_layers_of_one_size_share_their_steps(tmp_path: Path) -> None:
    text = graph_text(layer("gru", 5, 5, 6), (uniform(4, 3, 5),), tmp_path, "0.23.9")

    assert text.count("tract_core_scan(") == 6
    assert text.count("fragment gru_step") == 1


@pytest.mark.parametrize("name", LAYERS)
def test_half_precision(name: str) -> None:
    module, x = layer(name, 6, 5, 2).half(), uniform(5, 3, 6).half()
    axes = {"input": {0: "S", 1: "B"}}
    export_and_compare(module, x, dynamic_axes=axes, sizes=[{"S": 1, "B": 1}], **HALF)


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu"])
def test_double_precision(name: str) -> None:
    module, x = layer(name, 6, 5, 2).double(), uniform(5, 3, 6).double()
    export_and_compare(module, x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_sigmoids_in_double_precision_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedOpError, match="sigmoid takes no float64"):
        export(layer(name, 6, 5).double(), uniform(5, 3, 6).double())


# Programs that were not traced by this package.


def test_dropout_in_training_is_refused() -> None:
    module = layer("gru", 6, 5)

    class Training(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h, weights = x.new_zeros(1, x.shape[1], 5), tuple(self.layer.parameters())
            y: torch.Tensor = torch.gru(x, h, weights, True, 1, 0.5, True, False, False)[0]
            return y

    with pytest.raises(UnsupportedOpError, match="drops elements out"):
        export(Training(), uniform(5, 3, 6))


@pytest.mark.filterwarnings("ignore")  # of scripts, which torch deprecates
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_scripted_modules(name: str) -> None:
    converter = pytest.importorskip("torch._export.converter").TS2EPConverter
    args = (uniform(5, 3, 6),)
    program = converter(torch.jit.trace(layer(name, 6, 5).eval(), args), args).convert()

    (x,) = (n for n in program.graph.find_nodes(op="placeholder") if n.name == "input")
    symbols = {s.node.expr: f"N{axis}" for axis, s in enumerate(x.meta["val"].shape[:2])}
    graph, _ = lower(program, ["x"], None, symbols)

    assert [o.op for o in graph.operations].count("tract_core_scan") == 1
