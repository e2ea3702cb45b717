"""Recurrent layers as loops over time, and their cells.

The input's part of each gate, `x @ weight_ih.T`, depends on no earlier step: one product over
the whole sequence gives it ahead of the loop, and what is left for the loop is a fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

# Imported for the operators that it defines.
from torchtract import recurrent as _operators  # noqa: F401
from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.dtypes import datum_type
from torchtract.lower.ops.elementwise import computed_in_float32
from torchtract.lower.ops.matmul import linear
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Value

aten = torch.ops.aten
torchtract = torch.ops.torchtract


@dataclass(frozen=True)
class _Weights:
    """The parameters of one direction of one layer, named as in PyTorch."""

    ih: Value
    hh: Value
    bias_ih: Value | None = None
    bias_hh: Value | None = None
    hr: Value | None = None  # the projection of an LSTM


@dataclass(frozen=True)
class _Step:
    """One step of a recurrence: a fragment of x, the states and `full`.

    Attributes:
        gates: what the loop gets of the input, for the whole sequence.
        states: names of the states; the results are these with `_next`.
        body: lines of the fragment. Tensors have the axes b, s, and features.
        full: further tensors, the same in each step.
    """

    gates: Value
    states: tuple[str, ...]
    body: tuple[str, ...]
    full: dict[str, Value] = field(default_factory=dict)

    def call(self, b: Builder, stem: str) -> str:
        parameters = ", ".join(f"{p}: tensor<scalar>" for p in ("x", *self.states, *self.full))
        results = ", ".join(f"{state}_next: tensor<scalar>" for state in self.states)
        lines = "".join(f"  {line};\n" for line in self.body)
        return b.fragment(stem, f"({parameters}) -> ({results})\n{{\n{lines}}}")


#: What makes a step out of a sequence and the weights.
_Cell = Callable[[Builder, Value, _Weights], _Step]

FUSED = True

# Steps.


def _lstm_step(b: Builder, x: Value, w: _Weights) -> _Step:
    hidden = w.hh.shape[0] // 4
    _require_sigmoid(x)
    if FUSED:
        w = _reordered(b, w, "ifgo", "iofg")
    full = {"weight_hh": w.hh}
    body = [f"gates = add(x, {_product('h', 'weight_hh', x)})"]
    output = "h_next" if w.hr is None else "h_full"
    if FUSED:
        body.append(f"{output}, c_next = tract_core_lstm_epilogue(gates, c, hidden = {hidden})")
    else:
        body += [
            f"i = sigmoid({_gate('gates', 0, hidden)})",
            f"f = sigmoid({_gate('gates', 1, hidden)})",
            f"g = tanh({_gate('gates', 2, hidden)})",
            f"o = sigmoid({_gate('gates', 3, hidden)})",
            "c_next = add(mul(f, c), mul(i, g))",
            f"{output} = mul(o, tanh(c_next))",
        ]
    if w.hr is not None:
        full["weight_hr"] = w.hr
        body.append(f"h_next = {_product('h_full', 'weight_hr', x)}")
    gates = linear(b, x, w.ih, _summed(b, w.bias_ih, w.bias_hh))
    return _Step(gates, ("h", "c"), tuple(body), full)


def _gru_step(b: Builder, x: Value, w: _Weights) -> _Step:
    hidden = w.hh.shape[0] // 3
    _require_sigmoid(x)
    if FUSED:
        w = _reordered(b, w, "rzn", "zrn")
    full = {"weight_hh": w.hh}
    recurrent = _product("h", "weight_hh", x)
    if w.bias_hh is not None:
        # It can't be added ahead of the loop: the reset gate scales it.
        full["bias_hh"] = b.unsqueeze(w.bias_hh, [0, 1])
        recurrent = f"add({recurrent}, bias_hh)"
    body = [f"gates = {recurrent}"]
    if FUSED:
        body.append(f"h_next = tract_core_gru_epilogue(x, gates, h, hidden = {hidden})")
    else:
        body += [
            *(f"{g} = sigmoid(add({_gate('x', i, hidden)}, {_gate('gates', i, hidden)}))"
              for i, g in enumerate("rz")),
            f"n = tanh(add({_gate('x', 2, hidden)}, mul(r, {_gate('gates', 2, hidden)})))",
            "h_next = add(n, mul(z, sub(h, n)))",
        ]
    return _Step(linear(b, x, w.ih, w.bias_ih), ("h",), tuple(body), full)


def _rnn_step(activation: str) -> _Cell:
    def step(b: Builder, x: Value, w: _Weights) -> _Step:
        gates = linear(b, x, w.ih, _summed(b, w.bias_ih, w.bias_hh))
        total = f"add(x, {_product('h', 'weight_hh', x)})"
        body = (f"h_next = {activation.format(total)}",)
        return _Step(gates, ("h",), body, {"weight_hh": w.hh})

    return step


_CELLS: dict[str, _Cell] = {
    "lstm": _lstm_step,
    "gru": _gru_step,
    "rnn_tanh": _rnn_step("tanh({})"),
    "rnn_relu": _rnn_step("max({}, 0.0)"),
}


def _product(x: str, weight: str, like: Fact) -> str:
    return (
        f"tract_core_einsum([{x}, {weight}], expr = 'bsh,gh->bsg', "
        f"acc = '{datum_type(like.dtype)}')"
    )


def _gate(gates: str, index: int, hidden: int, axis: int = 2) -> str:
    begin, end = index * hidden, (index + 1) * hidden
    return f"slice({gates}, axes = [{axis}], begin = [{begin}], end = [{end}])"


def _reordered(b: Builder, w: _Weights, gates: str, wanted: str) -> _Weights:
    """The weights with the gates in another order."""
    hidden = w.hh.shape[0] // len(gates)
    cut = [_gate("w", i, hidden, 0) for i in map(gates.index, wanted)]
    fragment = b.fragment(
        f"{gates}_to_{wanted}",
        "(w: tensor<scalar>) -> (reordered: tensor<scalar>)\n{\n"
        f"  reordered = concat([{', '.join(cut)}], axis = 0);\n}}",
    )

    def reordered(x: Value | None) -> Value | None:
        if x is None:
            return None
        return b.emit(fragment, w=x, like=x)

    return _Weights(*map(reordered, (w.ih, w.hh, w.bias_ih, w.bias_hh)), w.hr)


def _summed(b: Builder, x: Value | None, y: Value | None) -> Value | None:
    return b.binary("add", x, y) if x is not None and y is not None else x or y


def _require_sigmoid(x: Value) -> None:
    require(x.dtype != torch.float64, "tract's sigmoid takes no float64")


# Layers.


def _layers(
    b: Builder,
    cell: str,
    x: Value,
    hx: Sequence[Value],
    params: list[Value],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    directions = 2 if bidirectional else 1
    time = 1 if batch_first else 0
    weights = list(_weights(params, has_biases, num_layers * directions))
    last: list[tuple[Value, ...]] = []
    for layer in range(num_layers):
        sequences = []
        for direction in range(directions):
            k = layer * directions + direction
            states = [b.slice(h, 0, k, k + 1) for h in hx]
            step = _CELLS[cell](b, x, weights[k])
            y, *states = _scan(b, cell, step, states, time, -1 if direction else 1)
            sequences.append(y)
            last.append(tuple(states))
        x = b.concat(sequences, 2)
    return x, *(b.concat(states, 0) for states in zip(*last, strict=True))


def _weights(params: Sequence[Value], has_biases: bool, count: int) -> Iterator[_Weights]:
    """The parameters by layer and direction, in PyTorch's order."""
    size = len(params) // count
    for k in range(count):
        ih, hh, *rest = params[k * size : (k + 1) * size]
        biases = [rest.pop(0), rest.pop(0)] if has_biases else [None, None]
        yield _Weights(ih, hh, *biases, *rest)


def _scan(
    b: Builder, cell: str, step: _Step, states: Sequence[Value], time: int, direction: int
) -> tuple[Value, ...]:
    """The sequence that a recurrence gives, and its last states, both [1, B, H]."""
    swap = [1, 0, 2] if time == 1 else [0, 1, 2]
    initial = [b.transpose(h, swap) for h in states]
    names = [f"{name}_next" for name in step.states]
    sequence = initial[0].of(shape=[*step.gates.shape[:2], initial[0].shape[2]])
    y, *last = b.emit_many(
        "tract_core_scan",
        results=[sequence, *initial],
        outputs_as_list=True,
        body=step.call(b, f"{cell}_step"),
        scan=[("x", step.gates, time, direction)],
        full=list(step.full.items()),
        state=list(zip(step.states, initial, names, strict=True)),
        output=[(names[0], "full", time, direction), *((n, "last", time, 1) for n in names)],
        reset_every_turn=int(_depends_on_inputs(b, initial)) or None,
    )
    return y, *(b.transpose(h, swap) for h in last)


def _depends_on_inputs(b: Builder, values: Sequence[Value]) -> bool:
    """Whether the model's inputs have a part in these values.

    A state that the caller gives holds for this call. One that is always the same begins a
    stream, which later calls continue.
    """
    needed = {value.name for value in values}
    for operation in reversed(b.graph.operations):
        if needed.intersection(operation.outputs):
            needed.update(ref.name for ref in operation.references())
    return bool(needed.intersection(b.graph.inputs))


@lowers(torchtract.lstm.default)
@computed_in_float32
def lstm(
    b: Builder,
    x: Value,
    hx: list[Value],
    params: list[Value],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    """lstm(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, ...)"""
    sizes = (has_biases, num_layers, bidirectional, batch_first)
    return _layers(b, "lstm", x, hx, params, *sizes)


def _lowers_simple(cell: str) -> None:
    @lowers(getattr(torchtract, cell).default)
    @computed_in_float32
    def layer(
        b: Builder,
        x: Value,
        hx: Value,
        params: list[Value],
        has_biases: bool,
        num_layers: int,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Value, ...]:
        """gru(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, ...)"""
        sizes = (has_biases, num_layers, bidirectional, batch_first)
        return _layers(b, cell, x, [hx], params, *sizes)


for _name in ("gru", "rnn_tanh", "rnn_relu"):
    _lowers_simple(_name)


# Cells.


@lowers(aten.lstm_cell.default)
@computed_in_float32
def lstm_cell(
    b: Builder,
    x: Value,
    hx: list[Value],
    w_ih: Value,
    w_hh: Value,
    b_ih: Value | None = None,
    b_hh: Value | None = None,
) -> tuple[Value, ...]:
    """lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, ...)"""
    return _once(b, "lstm", x, hx, _Weights(w_ih, w_hh, b_ih, b_hh))


def _once(
    b: Builder, cell: str, x: Value, states: Sequence[Value], w: _Weights
) -> tuple[Value, ...]:
    step = _CELLS[cell](b, b.unsqueeze(x, [1]), w)
    given = {n: b.unsqueeze(h, [1]) for n, h in zip(step.states, states, strict=True)}
    after = b.emit_many(
        step.call(b, f"{cell}_step"),
        results=list(given.values()),
        x=step.gates,
        **given,
        **step.full,
    )
    return tuple(b.squeeze(h, [1]) for h in after)
