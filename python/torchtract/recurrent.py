"""Recurrent layers kept whole while tracing.

Torch's tracer unrolls an LSTM, GRU or RNN over time, which makes the sequence's length a
constant. Inside `whole_recurrent_layers` each such call becomes one operator of the library
`torchtract` instead, whatever the length; run, it computes what PyTorch computes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchtract.errors import CaptureError

__all__ = ["whole_recurrent_layers"]

# Torch's layers keep their weights in a list that the tracer fills with its own tensors,
# and then warns of. The layers themselves are not changed.
_WEIGHTS_ASSIGNED = (
    r"The tensor attributes? (self\.([\w.]+\.)?_flat_weights\[\d+\](, )?)+ (was|were) assigned"
)


@contextmanager
def whole_recurrent_layers() -> Iterator[None]:
    """Make each call of a recurrent layer one operator of the traced program.

    Raises:
        CaptureError: a layer gets a packed sequence, or drops elements out.
    """
    with warnings.catch_warnings(), _WholeLayers():
        warnings.filterwarnings("ignore", _WEIGHTS_ASSIGNED, UserWarning)
        yield


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
        settings = (has_biases, num_layers, 0.0, False, bidirectional, batch_first)
        outputs: tuple[Tensor, ...] = getattr(torch._VF, name)(input, hx, params, *settings)
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


class _WholeLayers(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],  # noqa: ARG002
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch._VF._pack_padded_sequence:
            raise _packed()
        if func in _LAYERS:
            return _whole(_LAYERS[func], *args, **(kwargs or {}))
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
    batch_first: bool | None = None,
) -> Any:
    """The operator, called as the layer in `torch._VF` is."""
    if not isinstance(has_biases, bool) or batch_first is None:
        raise _packed()  # the other form of the call: data, batch_sizes, hx ...
    if dropout and train:
        raise CaptureError("the layer drops elements out at random; call it with train=False")
    return layer(input, hx, params, has_biases, num_layers, bidirectional, batch_first)


def _packed() -> CaptureError:
    return CaptureError(
        "the shapes of a packed sequence depend on the values of its lengths; give the layer "
        "the padded tensor instead"
    )
