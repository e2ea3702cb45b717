"""Small modules that can't stream, or not so, and what the refusal has to say.

Most of them tract pulses without a word, and gives other numbers than the batch model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streaming.streamable import Apply, Case, Channels, X, conv


class Bidirectional(nn.Module):
    """A recurrent layer that runs both ways."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.backward_pass = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.backward_pass(x)[0]
        return y


def attend(x: Tensor) -> Tensor:
    return torch.softmax(x @ x.transpose(1, 2), -1) @ x


def pool_by_attention(x: Tensor) -> Tensor:
    return torch.softmax(x, 1) * x


def over_all_frames() -> list[Case]:
    return [
        Case("head_of_perhaps_fewer", lambda x: x[:, 3:], X),
        Case("softmax_over_frames", lambda x: torch.softmax(x, 1), X),
        Case("log_softmax_over_frames", lambda x: torch.log_softmax(x, 1), X),
        Case("softmax_over_frames_last", lambda x: torch.softmax(x.transpose(1, 2), -1), X),
        Case("weights_over_frames", pool_by_attention, X),
        Case("rms_norm_over_frames", rms_over_frames, X),
        Case("mean_over_frames", lambda x: x.mean(1), X),
        Case("centre", lambda x: x - x.mean(1, keepdim=True), X),
        Case("scale_by_maximum", lambda x: x / x.abs().amax(1, keepdim=True), X),
        Case("sum_over_frames", lambda x: x.sum(1), X),
        Case("standardize", lambda x: (x - x.mean(1, True)) / x.std(1, keepdim=True), X),
        Case("layer_norm_over_frames", layer_norm_over_frames, X),
        Case("instance_norm", Channels(nn.InstanceNorm1d(3, affine=True)), X),
        Case("group_norm", Channels(nn.GroupNorm(1, 3)), X),
        Case("global_average", Channels(nn.AdaptiveAvgPool1d(1)), X),
        Case("attention", attend, X),
        Case("scaled_dot_product", lambda x: F.scaled_dot_product_attention(x, x, x), X),
        Case("frame_with_every_frame", lambda x: x @ x.transpose(1, 2), X),
        Case("gram", lambda x: x.transpose(1, 2) @ x, X),
        Case("argmax_over_frames", lambda x: x.argmax(1), X),
        Case("any_over_frames", lambda x: (x > 0).any(1), X),
        Case("squeeze_excite", Apply(squeeze_excite, fc=nn.Linear(3, 3)), X),
    ]


def rms_over_frames(x: Tensor) -> Tensor:
    x = x.transpose(1, 2)
    return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)).transpose(1, 2)


def layer_norm_over_frames(x: Tensor) -> Tensor:
    x = x.transpose(1, 2)
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def squeeze_excite(m: Any, x: Tensor) -> Tensor:
    return x * torch.sigmoid(m.fc(x.mean(1)))[:, None]


def backwards() -> list[Case]:
    return [
        Case(
            "bidirectional_lstm",
            Bidirectional(nn.LSTM(3, 4, batch_first=True, bidirectional=True)),
            X,
        ),
        Case(
            "bidirectional_gru",
            Bidirectional(nn.GRU(3, 4, batch_first=True, bidirectional=True)),
            X,
        ),
        Case(
            "bidirectional_rnn",
            Bidirectional(nn.RNN(3, 4, batch_first=True, bidirectional=True)),
            X,
        ),
        Case(
            "deep_bidirectional",
            Bidirectional(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)),
            X,
        ),
        Case("flip", lambda x: x.flip(1), X),
        Case("reverse_cumsum", lambda x: x.flip(1).cumsum(1).flip(1), X),
        Case(
            "last_state", Apply(lambda m, x: m.rnn(x)[1][0], rnn=nn.LSTM(3, 4, batch_first=True)), X
        ),
        Case("outputs_and_state", nn.GRU(3, 4, batch_first=True), X),
        Case("circular", conv(padding=1, padding_mode="circular"), X),
        Case("roll", lambda x: x.roll(1, 1), X),
        Case("roll_back", lambda x: torch.cat([x[:, 2:], x[:, :2]], 1), X),
    ]


def pieces() -> list[Case]:
    return [
        Case("last_frame", lambda x: x[:, -1:], X),
        Case("last_frame_alone", lambda x: x[:, -1], X),
        Case("last_five", lambda x: x[:, -5:], X),
        Case("first_frame", lambda x: x[:, :1], X),
        Case("first_frame_alone", lambda x: x[:, 0], X),
        Case("plus_first", lambda x: x + x[:, :1], X),
        Case("minus_last", lambda x: x - x[:, -1:], X),
        Case("first_five", lambda x: x[:, :5] * 2, X),
        Case("first_half", lambda x: x[:, : x.shape[1] // 2], X),
        Case("second_half", lambda x: x[:, x.shape[1] // 2 :], X),
        Case("first_token", lambda x: torch.cat([x[:, :1], x], 1), X),
        Case("append_last", lambda x: torch.cat([x, x[:, -1:]], 1), X),
        Case("twice", lambda x: torch.cat([x, x], 1), X),
    ]


def lengths() -> list[Case]:
    return [
        Case("divide_by_length", lambda x: x / x.shape[1], X),
        Case("mean_by_sum", lambda x: x.cumsum(1) / x.shape[1], X),
        Case("positions_from_end", positions_from_end, X),
        Case("relative_position", relative_position, X),
        Case("interleave_batch", lambda x: x.reshape(-1, 3), X),
        Case("frames_with_features", lambda x: x.transpose(1, 2).reshape(x.shape[0], -1), X),
        Case(
            "indices_of_maxima",
            lambda x: F.max_pool1d(x.transpose(1, 2), 2, return_indices=True)[1],
            X,
        ),
        Case(
            "two_streams_at_once",
            lambda x, y: x @ y.transpose(1, 2),
            (*X, *X),
            axes=({1: "S"}, {1: "S"}),
        ),
        Case("no_whole_stride", conv(stride=2), X, (3, 5)),
        Case(
            "no_whole_stride_4",
            Channels(nn.Conv1d(3, 4, 3, 2, 1), nn.Conv1d(4, 4, 3, 2, 1)),
            X,
            (2, 6),
        ),
        Case("no_whole_pool", Channels(nn.MaxPool1d(3)), X, (4, 2)),
    ]


def positions_from_end(x: Tensor) -> Tensor:
    return x + (x.shape[1] - torch.arange(x.shape[1])).to(x.dtype)[None, :, None]


def relative_position(x: Tensor) -> Tensor:
    return x * (torch.arange(x.shape[1]).to(x.dtype) / x.shape[1])[None, :, None]


REFUSED = [*over_all_frames(), *backwards(), *pieces(), *lengths()]
