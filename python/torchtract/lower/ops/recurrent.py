"""Recurrent layers as loops over time, and their cells.

The input's part of the gates, `x @ weight_ih.T`, depends on no earlier step: one product over
the whole sequence gives it ahead of the loop. What is left for the loop is a fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from torchtract import recurrent  # noqa: F401  (defines torch.ops.torchtract)
from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.dtypes import datum_type
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.ops.matmul import linear
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value
from torchtract.nnef import schema

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

    def gate_size(self, gates: int) -> int:
        return static_int(self.hh.shape[0], "a layer's number of gates") // gates


@dataclass(frozen=True)
class _Step:
    """One step of a recurrence: a fragment of x, the states and what `full` holds.

    Tensors in it have two batch axes, time being one of them, and an axis of features.

    Attributes:
        gates: the whole sequence that the steps get x from.
        states: names of the states; `_next` is added to the results'.
        body: the fragment's lines.
        full: further tensors, the same in each step.
        within: where a sequence has not ended yet, [T, B, 1]: elsewhere the states stay.
    """

    gates: Value
    states: tuple[str, ...]
    body: list[str]
    full: dict[str, Value] = field(default_factory=dict)
    within: Value | None = None

    @property
    def results(self) -> list[str]:
        """The states after the step."""
        return [f"{state}_{'next' if self.within is None else 'kept'}" for state in self.states]

    def fragment(self, b: Builder, cell: str) -> str:
        """The fragment's name."""
        parameters, body = ["x", *self.states, *self.full], self.body
        if self.within is not None:
            parameters = ["within", *parameters]
            body = body + [f"{s}_kept = select(within, {s}_next, {s})" for s in self.states]
        return b.fragment_of(f"{cell}_step", parameters, self.results, body)


def _product(x: str, weight: str, like: Fact) -> str:
    acc = datum_type(like.dtype)
    return f"tract_core_einsum([{x}, {weight}], expr = 'abh,gh->abg', acc = '{acc}')"


def _gate(gates: str, index: int, size: int, axis: int = 2) -> str:
    begin, end = index * size, (index + 1) * size
    return f"slice({gates}, axes = [{axis}], begin = [{begin}], end = [{end}])"


# Steps.


def _lstm_step(b: Builder, x: Value, w: _Weights) -> _Step:
    _require_sigmoid(x)
    size = w.gate_size(4)
    fused = schema.knows(b.version, "tract_core_lstm_epilogue")
    w = replace(w, bias_ih=_sum(b, w.bias_ih, w.bias_hh), bias_hh=None)
    w = _reordered(b, w, "ifgo", "iofg") if fused else w
    h = "h_next" if w.hr is None else "h_unprojected"
    body = [f"gates = add(x, {_product('h', 'weight_hh', x)})"]
    if fused:
        body += [f"{h}, c_next = tract_core_lstm_epilogue(gates, c, hidden = {size})"]
    else:
        body += [
            f"i = sigmoid({_gate('gates', 0, size)})",
            f"f = sigmoid({_gate('gates', 1, size)})",
            f"g = tanh({_gate('gates', 2, size)})",
            f"o = sigmoid({_gate('gates', 3, size)})",
            "c_next = add(mul(f, c), mul(i, g))",
            f"{h} = mul(o, tanh(c_next))",
        ]
    full = {"weight_hh": w.hh}
    if w.hr is not None:
        full["weight_hr"] = w.hr
        body += [f"h_next = {_product(h, 'weight_hr', x)}"]
    return _Step(linear(b, x, w.ih, w.bias_ih), ("h", "c"), body, full)


def _gru_step(b: Builder, x: Value, w: _Weights) -> _Step:
    _require_sigmoid(x)
    size = w.gate_size(3)
    fused = schema.knows(b.version, "tract_core_gru_epilogue")
    w = _reordered(b, w, "rzn", "zrn") if fused else w
    full = {"weight_hh": w.hh}
    gates = _product("h", "weight_hh", x)
    if w.bias_hh is not None:  # not added ahead of the loop, since the reset gate scales it
        full["bias_hh"] = b.unsqueeze(w.bias_hh, [0, 1])
        gates = f"add({gates}, bias_hh)"
    body = [f"gates = {gates}"]
    if fused:
        body += [f"h_next = tract_core_gru_epilogue(x, gates, h, hidden = {size})"]
    else:
        body += [
            f"r = sigmoid(add({_gate('x', 0, size)}, {_gate('gates', 0, size)}))",
            f"z = sigmoid(add({_gate('x', 1, size)}, {_gate('gates', 1, size)}))",
            f"n = tanh(add({_gate('x', 2, size)}, mul(r, {_gate('gates', 2, size)})))",
            "h_next = add(n, mul(z, sub(h, n)))",
        ]
    return _Step(linear(b, x, w.ih, w.bias_ih), ("h",), body, full)


def _rnn_tanh_step(b: Builder, x: Value, w: _Weights) -> _Step:
    return _rnn_step(b, x, w, "tanh")


def _rnn_relu_step(b: Builder, x: Value, w: _Weights) -> _Step:
    return _rnn_step(b, x, w, "relu")


def _rnn_step(b: Builder, x: Value, w: _Weights, activation: str) -> _Step:
    gates = linear(b, x, w.ih, _sum(b, w.bias_ih, w.bias_hh))
    body = [f"h_next = {activation}(add(x, {_product('h', 'weight_hh', x)}))"]
    return _Step(gates, ("h",), body, {"weight_hh": w.hh})


_STEPS: dict[str, Callable[[Builder, Value, _Weights], _Step]] = {
    "lstm": _lstm_step,
    "gru": _gru_step,
    "rnn_tanh": _rnn_tanh_step,
    "rnn_relu": _rnn_relu_step,
}


def _require_sigmoid(x: Value) -> None:
    require(x.dtype != torch.float64, "tract's sigmoid takes no float64")


def _sum(b: Builder, x: Value | None, y: Value | None) -> Value | None:
    return b.binary("add", x, y) if x is not None and y is not None else x or y


def _reordered(b: Builder, w: _Weights, gates: str, wanted: str) -> _Weights:
    """The weights with their gates in the order that tract's fused operators take."""
    parts = [_gate("w", gates.index(g), w.gate_size(len(gates)), axis=0) for g in wanted]
    body = [f"reordered = concat([{', '.join(parts)}], axis = 0)"]
    reorder = b.fragment_of(f"{gates}_to_{wanted}", ["w"], ["reordered"], body)

    def reordered(x: Value | None) -> Value | None:
        return None if x is None else b.emit(reorder, like=x, w=x)

    ih, hh = b.emit(reorder, like=w.ih, w=w.ih), b.emit(reorder, like=w.hh, w=w.hh)
    return _Weights(ih, hh, reordered(w.bias_ih), reordered(w.bias_hh), w.hr)


# Layers: loops of steps.


def _weights(params: Sequence[Value], has_biases: bool, count: int) -> Iterator[_Weights]:
    """The parameters of each layer and direction, in PyTorch's order."""
    size = len(params) // count
    for k in range(count):
        ih, hh, *more = params[k * size : (k + 1) * size]
        biases = more[:2] if has_biases else [None, None]
        projection = more[2 * has_biases :]
        yield _Weights(ih, hh, biases[0], biases[1], projection[0] if projection else None)


def _scan(
    b: Builder, cell: str, step: _Step, states: Sequence[Value], time: int, direction: int
) -> tuple[Value, ...]:
    """The sequence of the first state, then the last of each state.

    Args:
        step: what is done at each time.
        states: the first of each, [1, B, features].
        time: the sequence's axis, 0 or 1.
        direction: -1 runs backwards, from the sequence's end.
    """
    swapped = [1, 0, 2] if time == 1 else [0, 1, 2]
    initial = [b.transpose(state, swapped) for state in states]
    results = step.results
    within = [] if step.within is None else [("within", step.within, time, direction)]
    sequence = initial[0].of(shape=[*step.gates.shape[:2], initial[0].shape[2]])
    y, *last = b.emit_many(
        "tract_core_scan",
        results=[sequence, *initial],
        outputs_as_list=True,
        body=step.fragment(b, cell),
        scan=[("x", step.gates, time, direction), *within],
        full=list(step.full.items()),
        state=list(zip(step.states, initial, results, strict=True)),
        output=[(results[0], "full", time, direction), *((r, "last", time, 1) for r in results)],
        reset_every_turn=1 if _depends_on_inputs(b, initial) else None,
    )
    return y, *(b.transpose(state, swapped) for state in last)


def _within(b: Builder, lengths: Value, frames: Size) -> Value:
    """Where sequences of these lengths have not ended yet: [T, B, 1]."""
    times = b.unsqueeze(b.range(0, frames, 1, frames), [1, 2])
    lengths = b.unsqueeze(b.cast(lengths, torch.int64), [0, 2])
    return b.binary("lt", times, lengths, torch.bool)


def _depends_on_inputs(b: Builder, values: Sequence[Value]) -> bool:
    """Whether the model's inputs have a part in these values.

    A state that the caller gives is the first of each call. One that is always the same
    begins a stream, which further calls continue.
    """
    needed = {value.name for value in values}
    for operation in reversed(b.graph.operations):
        if needed.intersection(operation.outputs):
            needed.update(ref.name for ref in operation.references())
    return not needed.isdisjoint(b.graph.inputs)


def _layers_of(cell: str) -> Callable[..., tuple[Value, ...]]:
    @computed_in_float32
    def layers(
        b: Builder,
        x: Value,
        hx: Value | list[Value],
        params: list[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
        lengths: Value | None = None,
    ) -> tuple[Value, ...]:
        """lstm(Tensor input, Tensor[] hx, Tensor[] params, ..., Tensor? lengths=None)"""
        require(not (train and dropout), "it drops elements out at random")
        first = hx if isinstance(hx, list) else [hx]
        directions = (1, -1) if bidirectional else (1,)
        weights = list(_weights(params, has_biases, num_layers * len(directions)))
        last: list[list[Value]] = []
        within = None if lengths is None else _within(b, lengths, x.shape[0])
        for layer in range(num_layers):
            sequences = []
            for k, direction in enumerate(directions, layer * len(directions)):
                states = [b.slice(state, 0, k, k + 1) for state in first]
                step = replace(_STEPS[cell](b, x, weights[k]), within=within)
                y, *ends = _scan(b, cell, step, states, int(batch_first), direction)
                sequences.append(y)
                last.append(ends)
            x = b.concat(sequences, 2)
            x = x if within is None else b.where(within, x, b.scalar(0, x.dtype))
        return x, *(b.concat(states, 0) for states in zip(*last, strict=True))

    return layers


def _layers_of_equal_lengths(cell: str) -> Callable[..., tuple[Value, ...]]:
    layers = _layers_of(cell)

    def equal(
        b: Builder,
        x: Value,
        hx: Value | list[Value],
        params: list[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Value, ...]:
        """lstm.input(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, ...)"""
        settings = {"dropout": dropout, "train": train, "bidirectional": bidirectional}
        settings |= {"has_biases": has_biases, "num_layers": num_layers}
        return layers(b, x=x, hx=hx, params=params, batch_first=batch_first, **settings)

    return equal


# Cells: steps by themselves.


def _cell_of(cell: str) -> Callable[..., tuple[Value, ...]]:
    @computed_in_float32
    def one_step(
        b: Builder,
        x: Value,
        hx: Value | list[Value],
        w_ih: Value,
        w_hh: Value,
        b_ih: Value | None = None,
        b_hh: Value | None = None,
    ) -> tuple[Value, ...]:
        """lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, ...)"""
        step = _STEPS[cell](b, b.unsqueeze(x, [0]), _Weights(w_ih, w_hh, b_ih, b_hh))
        given = [b.unsqueeze(h, [0]) for h in (hx if isinstance(hx, list) else [hx])]
        tensors: dict[str, Any] = dict(zip(step.states, given, strict=True)) | step.full
        after = b.emit_many(step.fragment(b, cell), results=given, x=step.gates, **tensors)
        return tuple(b.squeeze(h, [0]) for h in after)

    return one_step


for _name in _STEPS:
    lowers(getattr(torchtract, _name).default)(_layers_of(_name))
    lowers(getattr(aten, _name).input)(_layers_of_equal_lengths(_name))
    lowers(getattr(aten, f"{_name}_cell").default)(_cell_of(_name))
