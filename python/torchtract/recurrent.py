"""Recurrent layers kept whole while tracing.

Torch's tracer unrolls an LSTM, GRU or RNN over time, which makes the sequence's length a
constant. Inside `WholeRecurrentLayers` each such call becomes one operator of the library
`torchtract` instead, whatever the length; run, it computes what PyTorch computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchtract.errors import CaptureError

__all__ = ["WholeRecurrentLayers"]


def _define(name: str, hx_type: str, results: int) -> Callable[..., Any]:
    """The operator `torchtract::name`: the call of `torch._VF` without its dropout."""

    @torch.library.custom_op(
        f"torchtract::{name}",
        mutates_args=(),
        schema=f"(Tensor input, {hx_type} hx, Tensor[] params, bool has_biases, int num_layers, "
        f"bool bidirectional, bool batch_first) -> ({', '.join(['Tensor'] * results)})",
    )
    def layer(
        input: Tensor,
        hx: Any,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        sizes = (has_biases, num_layers, 0.0, False, bidirectional, batch_first)
        outputs: tuple[Tensor, ...] = getattr(torch._VF, name)(input, hx, params, *sizes)
        return outputs

    @layer.register_fake
    def _(
        input: Tensor,
        hx: Any,
        params: Sequence[Tensor],  # noqa: ARG001
        has_biases: bool,  # noqa: ARG001
        num_layers: int,  # noqa: ARG001
        bidirectional: bool,
        batch_first: bool,  # noqa: ARG001
    ) -> tuple[Tensor, ...]:
        states = [hx] if isinstance(hx, Tensor) else hx
        features = states[0].shape[-1] * (2 if bidirectional else 1)
        sequence = input.new_empty(*input.shape[:-1], features)
        return sequence, *(state.new_empty(state.shape) for state in states)

    return layer


_LAYERS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.lstm: _define("lstm", "Tensor[]", results=3),
    torch.gru: _define("gru", "Tensor", results=2),
    torch.rnn_tanh: _define("rnn_tanh", "Tensor", results=2),
    torch.rnn_relu: _define("rnn_relu", "Tensor", results=2),
}

#: What the two forms of these calls differ in: a packed sequence has no `has_biases` here.
_HAS_BIASES = 3


class WholeRecurrentLayers(TorchFunctionMode):
    """Calls of recurrent layers in this context become one operator each.

    Raises:
        CaptureError: a layer gets a packed sequence, or drops elements out.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        packed = func in _LAYERS and not isinstance(args[_HAS_BIASES], bool)
        if packed or func is torch._VF._pack_padded_sequence:
            raise CaptureError(
                "the shapes of a packed sequence depend on the values of its lengths; "
                "give the layer the padded tensor"
            )
        if func in _LAYERS:
            return _whole(_LAYERS[func], *args)
        return func(*args, **(kwargs or {}))


def _whole(
    layer: Callable[..., Any],
    input: Tensor,
    hx: Any,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    if dropout and train:
        raise CaptureError("its dropout is random; call the layer with train=False")
    return layer(input, hx, params, has_biases, num_layers, bidirectional, batch_first)
