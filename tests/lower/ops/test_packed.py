"""Packed sequences: PyTorch's numbers whatever the lengths, and no use that could be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from harness import export
from lower.ops.inputs import uniform
from torchtract.check.trial import arrays_of
from torchtract.errors import CaptureError, UnsupportedOpError

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN:UserWarning"
)

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
AXES = {"x": {0: "B", 1: "T"}, "lengths": {0: "B"}}
#: The longest is as long as there are frames, or shorter.
LENGTHS = [[3, 9, 1, 7], [9, 9], [4, 4, 2], [1], [1, 1, 1], [2, 3, 4, 5, 6, 7, 8]]


class Packed(nn.Module):
    """A layer on sequences of [B, T, 6]."""

    def __init__(
        self,
        layer: nn.Module | None,
        unpack: Callable[..., Any] = pad_packed_sequence,
        sort: bool = True,
    ) -> None:
        super().__init__()
        self.layer, self.unpack, self.sort = layer, unpack, sort

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=not self.sort
        )
        packed, last = self.layer(packed) if self.layer is not None else (packed, lengths)
        return self.unpack(packed, batch_first=True), last


def compare(module: nn.Module, lengths: list[list[int]], frames: int = 9) -> None:
    """At these lengths, with padding that is no number."""
    example = uniform(4, frames, 6), torch.tensor(LENGTHS[0])
    model = export(module, *example, dynamic_axes=AXES).compile()
    for each in lengths:
        of_rows = torch.tensor(each)
        x = uniform(len(each), frames, 6, seed=len(each))
        beyond = torch.arange(frames) >= of_rows[:, None]
        x = x.masked_fill(beyond[..., None], torch.nan)
        with torch.no_grad():
            expected = arrays_of(module(x, of_rows))
        actual = model.run({"x": x, "lengths": of_rows}).values()
        for ours, theirs in zip(actual, expected, strict=True):
            torch.testing.assert_close(
                torch.from_numpy(ours), torch.from_numpy(theirs), rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"bidirectional": True, "num_layers": 2}, {"bidirectional": True, "bias": False}],
    ids=str,
)
def test_layers(name: str, settings: dict[str, Any]) -> None:
    compare(Packed(LAYERS[name](6, 5, batch_first=True, **settings)), LENGTHS)


def test_a_projection() -> None:
    compare(Packed(nn.LSTM(6, 5, proj_size=3, bidirectional=True)), LENGTHS)


def test_lengths_that_are_sorted() -> None:
    sorted_ones = [sorted(each, reverse=True) for each in LENGTHS]
    compare(Packed(nn.GRU(6, 5), sort=False), sorted_ones)


@pytest.mark.parametrize("frames", [9, 12])
def test_a_length_of_the_users(frames: int) -> None:
    def unpack(packed: Any, **options: Any) -> Any:
        return pad_packed_sequence(packed, total_length=frames, padding_value=-1.0, **options)

    compare(Packed(nn.LSTM(6, 5, bidirectional=True), unpack), LENGTHS)


def test_as_many_frames_as_the_input_has() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(6, 6, batch_first=True)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            first = torch.ones(1, x.shape[0], 6), torch.zeros(1, x.shape[0], 6)
            y, _ = pad_packed_sequence(
                self.layer(packed, first)[0], batch_first=True, total_length=x.shape[1]
            )
            return y + x.nan_to_num(0.5)

    model = export(Residual(), uniform(4, 9, 6), torch.tensor(LENGTHS[0]), dynamic_axes=AXES)
    assert model.outputs[0].shape == ("B", "T", 6)
    compare(Residual(), LENGTHS)
    compare(Residual(), [[9, 30], [2]], frames=30)


def test_without_a_layer_the_padding_is_filled() -> None:
    compare(Packed(None), LENGTHS)


def test_the_last_states_of_two_layers() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.GRU(6, 4, bidirectional=True), nn.LSTM(8, 5)
            self.head = nn.Linear(5, 3)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            packed = pack_padded_sequence(x.transpose(0, 1), lengths, enforce_sorted=False)
            _, (h, _) = self.second(self.first(packed)[0])
            return self.head(h[-1])

    compare(Classifier(), LENGTHS)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_the_operator_computes_what_each_sequence_gives_alone(name: str) -> None:
    settings = {"nonlinearity": name[4:]} if name.startswith("rnn") else {}
    layer: Any = LAYERS[name[:4].rstrip("_")](6, 5, bidirectional=True, **settings)
    x, lengths = uniform(9, 4, 6), torch.tensor(LENGTHS[0])
    state = torch.zeros(2, 4, 5)
    hx: Any = [state, state] if name == "lstm" else state
    operator: Any = getattr(torch.ops.torchtract, name)
    with torch.no_grad():
        y, *last = operator(x, hx, layer._flat_weights, True, 1, 0.0, False, True, False, lengths)
        for row, length in enumerate(LENGTHS[0]):
            alone, states = layer(x[:length, row])
            torch.testing.assert_close(y[:length, row], alone)
            assert not y[length:, row].any()
            states = states if isinstance(states, tuple) else (states,)
            for of_all, own in zip(last, states, strict=True):
                torch.testing.assert_close(of_all[:, row], own)


class OfTheFrames(nn.Module):
    def __init__(self, use: Callable[[Any], Any]) -> None:
        super().__init__()
        self.use = use

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.use(packed)


@pytest.mark.parametrize(
    "use",
    [
        lambda packed: packed.data.mean(),
        lambda packed: torch.mean(packed.data),
        lambda packed: packed.batch_sizes.sum(),
        lambda packed: torch.zeros(packed.data.size(0)),
        lambda packed: packed.batch_sizes[1],
        lambda packed: packed.data.tanh(),
    ],
    ids=["mean", "torch.mean", "sizes", "rows", "a size", "tanh"],
)
def test_what_the_frames_together_would_give_is_refused(use: Callable[[Any], Any]) -> None:
    with pytest.raises(CaptureError, match="packed sequence depend on the values of its lengths"):
        export(OfTheFrames(use), uniform(4, 9, 6), torch.tensor(LENGTHS[0]), dynamic_axes=AXES)


def test_a_packed_output_and_a_packed_input_are_refused() -> None:
    x, lengths = uniform(4, 9, 6), torch.tensor(LENGTHS[0])
    with pytest.raises(CaptureError, match="can't be an output"):
        export(OfTheFrames(lambda packed: packed), x, lengths, dynamic_axes=AXES)

    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(6, 5)

        def forward(self, packed: PackedSequence) -> Any:
            return self.layer(packed)[1]

    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    with pytest.raises(CaptureError, match="data-dependent"):
        export(Given(), packed)


def test_frames_beside_those_of_the_input_are_refused() -> None:
    class Residual(nn.Module):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(packed, batch_first=True)[0] + x

    with pytest.raises(UnsupportedOpError, match="depends on the data"):
        export(Residual(), uniform(4, 9, 6), torch.tensor(LENGTHS[0]), dynamic_axes=AXES)
