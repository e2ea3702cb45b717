"""Recurrent layers over dynamic batches and lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dynamic.rows import Row, floats, row

X = floats("B", "S", 6)
FIRST = floats("S", "B", 6)


class Output(nn.Module):
    """A layer's sequence, and its last state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *x: torch.Tensor) -> Any:
        return self.layer(*x)


class Stateful(nn.Module):
    """An LSTM whose first state is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(6, 4, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
        return self.layer(x, (h, c))


class Pooled(nn.Module):
    """Both directions, then the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(6, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.layer(x)[0].mean(1))
        return y


class LastState(nn.Module):
    """The last step of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(6, 4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)[0][:, -1]
        return y


class ForEach(nn.Module):
    """A layer over several sequences of each sample, as the two paths of a DPRNN are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x.flatten(0, 1))[0]
        return y.reshape(*x.shape[:2], *y.shape[1:])


class Loop(nn.Module):
    """A cell in a Python loop over S, which tracing unrolls."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.shape[0], 4)
        for i in range(x.shape[1]):
            h = self.cell(x[:, i], h)
        return h


class Convolved(nn.Module):
    """A strided convolution ahead of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 5, 3, stride=2, padding=1)
        self.layer = nn.GRU(5, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
        return y


ROWS = [
    row("LSTM", Output(nn.LSTM(6, 4)), FIRST),
    row("LSTM, batch first", Output(nn.LSTM(6, 4, batch_first=True)), X),
    row("LSTM, both directions, two layers", Output(nn.LSTM(6, 4, 2, bidirectional=True)), FIRST),
    row("LSTM, projected", Output(nn.LSTM(6, 4, proj_size=3)), FIRST),
    row("LSTM, without biases", Output(nn.LSTM(6, 4, bias=False)), FIRST),
    row("LSTM, a state given", Stateful(), X, floats(1, "B", 4), floats(1, "B", 4)),
    row("LSTM, unbatched", Output(nn.LSTM(6, 4)), floats("S", 6)),
    row("GRU", Output(nn.GRU(6, 4)), FIRST),
    row("GRU, both directions", Output(nn.GRU(6, 4, bidirectional=True, batch_first=True)), X),
    row("GRU, a state given", Output(nn.GRU(6, 4)), FIRST, floats(1, "B", 4)),
    row("RNN of tanh", Output(nn.RNN(6, 4, 2)), FIRST),
    row("RNN of relu", Output(nn.RNN(6, 4, nonlinearity="relu")), FIRST, rtol=1e-3),
    row("the last step", LastState(), X),
    row("the mean over time", Pooled(), X),
    row("behind a convolution", Convolved(), X),
    row("LSTM over B times H", ForEach(nn.LSTM(6, 4, batch_first=True)), floats("B", "H", "S", 6)),
    row(
        "GRU over B times H",
        ForEach(nn.GRU(6, 4, batch_first=True, bidirectional=True)),
        floats("B", "H", "S", 6),
    ),
    row("RNN over 2 B", ForEach(nn.RNN(6, 4, batch_first=True)), floats("B", 2, "S", 6)),
    row("LSTMCell", nn.LSTMCell(6, 4), floats("B", 6)),
    row("GRUCell", nn.GRUCell(6, 4), floats("B", 6), floats("B", 4)),
    row("RNNCell", nn.RNNCell(6, 4), floats("B", 6)),
    row("a cell in a loop over S", Loop(), X, refused="S"),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_recurrent_layers(entry: Row) -> None:
    entry.check()
