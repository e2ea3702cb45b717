"""Recurrent layers kept whole while tracing.

Torch's tracer unrolls an LSTM, GRU or RNN over time, which makes the sequence's length a
constant. Inside `whole_recurrent_layers` each such call becomes one operator of the library
`torchtract` instead, whatever the length; run, it computes what PyTorch computes. Packed sequences
stay padded, and give it their lengths.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchtract.packed_sequences import pack, packed, pad, padded_frames

__all__ = ["whole_recurrent_layers"]

# Torch's layers keep their weights in a list that the tracer fills with its own tensors,
# and then warns of. The layers themselves are not changed.
_WEIGHTS_ASSIGNED = (
    r"The tensor attributes? (self\.([\w.]+\.)?_flat_weights\[\d+\](, )?)+ (was|were) assigned"
)


#: Places among an operator's arguments, and among those behind the states.
_LENGTHS, _BIDIRECTIONAL = 9, 5


@contextmanager
def whole_recurrent_layers() -> Iterator[None]:
    """Make each call of a recurrent layer one operator of the traced program.

    Raises:
        CaptureError: a packed sequence is used in something else than such layers.
    """
    with warnings.catch_warnings(), _WholeLayers():
        warnings.filterwarnings("ignore", _WEIGHTS_ASSIGNED, UserWarning)
        yield


def _define(name: str, hx_type: str, results: int) -> Callable[..., Any]:
    """The operator `torchtract::name`, called as `torch.name` is."""

    @torch.library.custom_op(
        f"torchtract::{name}",
        mutates_args=(),
        schema=f"(Tensor input, {hx_type} hx, Tensor[] params, bool has_biases, int num_layers, "
        "float dropout, bool train, bool bidirectional, bool batch_first, "
        f"Tensor? lengths=None) -> ({', '.join(['Tensor'] * results)})",
    )
    def layer(*args: Any) -> tuple[Tensor, ...]:
        given, lengths = args[:_LENGTHS], args[_LENGTHS:]
        function: Callable[..., tuple[Tensor, ...]] = getattr(torch, name)
        if not lengths or lengths[0] is None:  # the dispatcher may leave the default out
            return function(*given)
        return _with_lengths(function, lengths[0], *given)

    @layer.register_fake
    def _(x: Tensor, hx: Any, *settings: Any) -> tuple[Tensor, ...]:
        bidirectional = settings[_BIDIRECTIONAL]
        states = [hx] if isinstance(hx, Tensor) else hx
        features = states[0].shape[-1] * (2 if bidirectional else 1)
        sequence = x.new_empty(*x.shape[:-1], features)
        return sequence, *(state.new_empty(state.shape) for state in states)

    return layer


def _with_lengths(
    function: Callable[..., tuple[Tensor, ...]], lengths: Tensor, x: Tensor, hx: Any, *settings: Any
) -> tuple[Tensor, ...]:
    """PyTorch's layer on padded sequences [T, B, features] of these lengths."""
    lengths, order = lengths.sort(descending=True)
    first = [hx] if isinstance(hx, Tensor) else list(hx)
    states = [state.index_select(1, order) for state in first]
    frames, sizes = _PACK(x.index_select(1, order), lengths, False)
    own: Any = states[0] if isinstance(hx, Tensor) else states
    frames, *states = function(frames, sizes, own, *settings[:-1])  # batch_first is no setting
    y, _ = _PAD(frames, sizes, False, 0.0, x.shape[0])
    back = order.argsort()
    return y.index_select(1, back), *(state.index_select(1, back) for state in states)


_OPERATORS = {
    "lstm": _define("lstm", "Tensor[]", results=3),
    "gru": _define("gru", "Tensor", results=2),
    "rnn_tanh": _define("rnn_tanh", "Tensor", results=2),
    "rnn_relu": _define("rnn_relu", "Tensor", results=2),
}

# What the tracer meets: PyTorch's function, or the operator of a scripted module.
_LAYERS = {getattr(torch, name): operator for name, operator in _OPERATORS.items()} | {
    getattr(torch.ops.aten, name).input: operator for name, operator in _OPERATORS.items()
}

_PACK = torch._VF._pack_padded_sequence  # noqa: SLF001  (its only name)
_PAD = torch._VF._pad_packed_sequence  # noqa: SLF001

#: Place of `has_biases` among a layer's arguments, where a packed sequence has its weights.
_HAS_BIASES = 3


class _WholeLayers(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        layer = _LAYERS.get(func)
        if layer and len(args) > _HAS_BIASES and not isinstance(args[_HAS_BIASES], bool):
            return _of_packed(layer, *args)
        if func in (_PACK, _PAD):
            return (pack if func is _PACK else pad)(*args)
        return (layer or func)(*args, **(kwargs or {}))


def _of_packed(layer: Callable[..., Any], frames: Any, sizes: Any, *args: Any) -> tuple[Any, ...]:
    """A layer's call on a packed sequence."""
    padded, lengths = padded_frames(frames, sizes)
    sequence, *states = layer(padded, *args, False, lengths)
    return packed(sequence), *states
