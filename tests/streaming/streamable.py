"""Small modules that stream: what each gives pulse by pulse is what it gives at once.

Inputs are (B, S, C) unless a case says otherwise; S streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import lfilter


@dataclass(frozen=True)
class Case:
    """A module, its example inputs, and pulses that it can be cut into."""

    name: str
    module: nn.Module | Callable[..., Any]
    args: tuple[Tensor, ...]
    pulses: tuple[int, ...] = (4, 1)
    axes: tuple[Mapping[int, str], ...] = ({0: "B", 1: "S"},)
    asserts: tuple[str, ...] = ()


class Channels(nn.Module):
    """A layer over (B, C, S) applied to (B, S, C)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x.transpose(1, 2))
        return y.transpose(1, 2)


class Output(nn.Module):
    """A recurrent layer's outputs, without its last state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y


class Apply(nn.Module):
    """A function around layers, so that it has parameters and a path."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *x: Tensor) -> Any:
        return self.function(self, *x)


def frames(*shape: int) -> tuple[Tensor, ...]:
    return (torch.randn(*shape),)


X = frames(2, 11, 3)


def conv(out: int = 4, kernel: int = 3, **options: Any) -> Channels:
    return Channels(nn.Conv1d(3, out, kernel, **options))


def pointwise() -> list[Case]:
    return [
        Case("relu", torch.relu, X),
        Case("linear", nn.Linear(3, 5), X),
        Case("mlp", nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 2)), X, (8, 3)),
        Case("layer_norm", nn.LayerNorm(3), X),
        Case("rms_norm", nn.RMSNorm(3), X),
        Case("softmax_features", lambda x: torch.softmax(x, -1), X),
        Case("log_softmax_features", lambda x: torch.log_softmax(x, -1), X),
        Case("mean_features", lambda x: x.mean(-1), X),
        Case("max_features", lambda x: x.amax(-1, keepdim=True), X),
        Case("argmax_features", lambda x: x.argmax(-1), X),
        Case("batch_norm", Channels(nn.BatchNorm1d(3)), X),
        Case("transpose", lambda x: x.transpose(1, 2) * 2, X),
        Case("frames_first", lambda x: x.transpose(0, 1).relu(), X),
        Case("merge_features", lambda x: x.reshape(x.shape[0], x.shape[1], 1, 3).flatten(2), X),
        Case("where", lambda x: torch.where(x > 0, x, x * 0.1), X),
        Case("expand", lambda x: x.unsqueeze(2).expand(-1, -1, 4, -1) + 0.0, X),
        Case("concat_features", lambda x: torch.cat([x, x * 2], -1), X),
        Case("slice_features", lambda x: x[:, :, 1:], X),
        Case("embedding", nn.Embedding(7, 4), (torch.randint(0, 7, (2, 11)),)),
        Case("glu", Channels(nn.Conv1d(3, 8, 3, padding=1), nn.GLU(1)), X),
        Case("bmm_features", lambda x: torch.matmul(x.unsqueeze(-1), x.unsqueeze(-2)), X),
        Case("one_hot", lambda x: F.one_hot(x, 5).float(), (torch.randint(0, 5, (2, 11)),)),
    ]


def convolutions() -> list[Case]:
    even = (4, 2)
    return [
        Case("conv_valid", conv(), X),
        Case("conv_same", conv(padding=1), X),
        Case("conv_causal", lambda x: F.conv1d(F.pad(x.transpose(1, 2), (2, 0)), W3), X),
        Case("conv_lookahead", lambda x: F.conv1d(F.pad(x.transpose(1, 2), (0, 2)), W3), X),
        Case("conv_dilated", conv(dilation=3), X),
        Case("conv_dilated_same", conv(dilation=2, padding=2), X),
        Case("conv_strided", conv(stride=2), X, even),
        Case("conv_strided_same", conv(stride=2, padding=1), X, even),
        Case("conv_stride_3", conv(kernel=5, stride=3, padding=2), X, (3, 6)),
        Case("conv_kernel_1_stride_2", conv(kernel=1, stride=2), X, even),
        Case("conv_kernel_2_stride_4", conv(kernel=2, stride=4), X, (4, 8)),
        Case("conv_groups", Channels(nn.Conv1d(4, 6, 3, groups=2, padding=1)), frames(2, 11, 4)),
        Case("conv_depthwise", Channels(nn.Conv1d(3, 3, 5, groups=3, padding=2)), X),
        Case("conv_padding_same_string", conv(kernel=5, padding="same"), X),
        Case("conv_wide_padding", conv(padding=4), X),
        Case("conv_reflect", conv(padding=1, padding_mode="reflect"), X, asserts=("S >= 2",)),
        Case("reflect_head", Channels(nn.ReflectionPad1d((3, 0))), X, asserts=("S >= 4",)),
        Case("reflect_tail", Channels(nn.ReflectionPad1d((0, 2))), X, asserts=("S >= 3",)),
        Case(
            "conv_then_reflect",
            Channels(nn.Conv1d(3, 4, 3), nn.ReflectionPad1d((2, 4)), nn.Conv1d(4, 3, 2)),
            X,
            (4, 1, 3),
            asserts=("S >= 7",),
        ),
        Case("conv_replicate", conv(padding=1, padding_mode="replicate"), X, (4, 2)),
        Case(
            "conv2d",
            lambda x: F.conv2d(x.unsqueeze(1), W33, padding=1).flatten(1, 1),
            frames(2, 11, 6),
        ),
        Case(
            "conv2d_strided",
            lambda x: F.conv2d(x.unsqueeze(1), W33, stride=2, padding=1),
            frames(2, 11, 6),
            even,
        ),
        Case("images", nn.Conv2d(1, 2, 3, 2, 1), frames(5, 1, 6, 6), axes=({0: "S"},)),
        Case("pooled_images", nn.MaxPool2d(2), frames(5, 1, 6, 6), axes=({0: "S"},)),
        Case("averaged_images", nn.AvgPool2d(3, 1, 1), frames(5, 1, 6, 6), axes=({0: "S"},)),
        Case("two_convs", Channels(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 5)), X),
        Case(
            "two_convs_padded",
            Channels(nn.Conv1d(3, 4, 3, padding=1), nn.Sigmoid(), nn.Conv1d(4, 2, 5, padding=2)),
            X,
        ),
        Case(
            "subsampling_by_4",
            Channels(nn.Conv1d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv1d(4, 4, 3, 2, 1)),
            X,
            (4, 8),
        ),
        Case("transposed_stride_2", Channels(nn.ConvTranspose1d(3, 4, 2, 2)), X),
        Case("transposed_overlap", Channels(nn.ConvTranspose1d(3, 4, 4, 2, 1)), X),
        Case("transposed_kernel_3", Channels(nn.ConvTranspose1d(3, 4, 3)), X),
        Case(
            "conv_then_transposed",
            Channels(nn.Conv1d(3, 4, 3, padding=1), nn.ConvTranspose1d(4, 2, 4, 2, 1)),
            X,
        ),
        Case(
            "down_and_up",
            Channels(nn.Conv1d(3, 4, 4, 2, 1), nn.ReLU(), nn.ConvTranspose1d(4, 3, 4, 2, 1)),
            X,
            even,
        ),
    ]


W3 = torch.randn(4, 3, 3)
W33 = torch.randn(2, 1, 3, 3)


def pools() -> list[Case]:
    return [
        Case("max_pool", Channels(nn.MaxPool1d(2)), X, (4, 2)),
        Case("max_pool_overlap", Channels(nn.MaxPool1d(3, 1)), X),
        Case("max_pool_padded", Channels(nn.MaxPool1d(3, 2, 1)), X, (4, 2)),
        Case("avg_pool", Channels(nn.AvgPool1d(2)), X, (4, 2)),
        Case("avg_pool_overlap", Channels(nn.AvgPool1d(3, 1)), X),
        Case("avg_pool_padded", Channels(nn.AvgPool1d(3, 1, 1)), X, (4, 1, 3)),
        Case(
            "avg_pool_padding_left_out",
            Channels(nn.AvgPool1d(5, 1, 2, count_include_pad=False)),
            X,
            (4, 1, 3),
        ),
        Case(
            "avg_pool_padded_strided",
            Channels(nn.AvgPool1d(4, 2, 1, count_include_pad=False)),
            X,
            (4, 2),
            asserts=("S >= 2",),
        ),
        Case("avg_pool_ceil", Channels(nn.AvgPool1d(3, 2, 1, ceil_mode=True)), X, (4, 2)),
        Case(
            "avg_pool_2d",
            lambda x: F.avg_pool2d(x.unsqueeze(1), 3, 1, 1, count_include_pad=False),
            frames(2, 11, 6),
        ),
        Case(
            "every_second_of_every_second", Apply(twice_every_second, fc=nn.Linear(3, 3)), X, (4, 8)
        ),
        Case("every_second", lambda x: x[:, ::2], X, (4, 2)),
        Case("every_third_from_1", lambda x: x[:, 1::3], X, (3, 6)),
        Case("unstack", lambda x: x.reshape(x.shape[0], x.shape[1] * 2, 2), frames(2, 11, 4)),
        Case("flatten", lambda x: x.flatten(1), X),
        Case("repeat_interleave", lambda x: x.repeat_interleave(2, 1), X),
    ]


def twice_every_second(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.fc(x[:, ::2])[:, ::2]
    return y


def spectra() -> list[Case]:
    signal, axes = frames(2, 40), ({0: "B", 1: "S"},)
    return [
        Case("stft", power(center=False), signal, (4, 8), axes, ("S >= 8",)),
        Case("stft_centred", power(center=True), signal, (4, 8), axes, ("S >= 5",)),
        Case(
            "stft_centred_in_zeros",
            power(center=True, pad_mode="constant"),
            signal,
            (4, 8),
            axes,
        ),
    ]


HANN = torch.hann_window(8)


def power(**options: Any) -> Callable[[Tensor], Tensor]:
    def spectrogram(x: Tensor) -> Tensor:
        spectrum = torch.stft(x, 8, 4, window=HANN, return_complex=True, **options)
        return torch.view_as_real(spectrum).pow(2).sum(-1)

    return spectrogram


def memory() -> list[Case]:
    rnn = nn.LSTM(3, 4, batch_first=True)
    deep = nn.GRU(3, 4, 2, batch_first=True)
    return [
        Case("lstm", Output(rnn), X),
        Case("gru_2_layers", Output(deep), X),
        Case("rnn_tanh", Output(nn.RNN(3, 4, batch_first=True)), X),
        Case(
            "lstm_frames_first", Output(nn.LSTM(3, 4)), frames(11, 2, 3), axes=({0: "S", 1: "B"},)
        ),
        Case("conv_lstm", nn.Sequential(conv(), Output(nn.LSTM(4, 5, batch_first=True))), X),
        Case(
            "lstm_conv", nn.Sequential(Output(nn.LSTM(3, 3, batch_first=True)), conv(padding=1)), X
        ),
        Case(
            "subsampled_gru",
            nn.Sequential(conv(stride=2, padding=1), Output(nn.GRU(4, 3, batch_first=True))),
            X,
            (4, 2),
        ),
        Case(
            "rnn_from_a_given_state",
            Apply(lambda m, x, h: m.rnn(x, h)[0], rnn=nn.GRU(3, 4, batch_first=True)),
            (*X, *frames(1, 2, 4)),
            axes=({0: "B", 1: "S"}, {1: "B"}),
        ),
        Case(
            "rnn_beside_the_stream",
            Apply(
                lambda m, x, y: x * m.rnn(y)[0].mean(1, keepdim=True),
                rnn=nn.RNN(3, 3, batch_first=True),
            ),
            (*X, *frames(2, 5, 3)),
            axes=({0: "B", 1: "S"}, {0: "B"}),
        ),
        Case("cumsum", lambda x: x.cumsum(1), X),
        Case("running_mean", running_mean, X),
        Case("running_maximum", lambda x: x.cummax(1)[0], X),
        Case("running_product", lambda x: x.cumprod(1), X),
        Case("filter_of_channels", lambda x: lfilter(x.mT, POLES[0], ZEROS[0]).mT, X),
        Case("filters", lambda x: lfilter(x.mT, POLES, ZEROS).mT, X),
        Case("filters_of_a_wave", lambda x: lfilter(x[..., 0], POLES, ZEROS, batching=False), X),
        Case("conv_filters", Apply(filtered, c=nn.Conv1d(3, 3, 5, padding=2)), X),
        Case("conv_cumsum", nn.Sequential(conv(), Apply(lambda _, x: x.cumsum(1))), X),
    ]


#: Coefficients of filters.
POLES = torch.tensor([[1.0, -1.7, 0.9], [1.0, 0.4, 0.0], [2.0, -0.3, 0.5]])
ZEROS = torch.tensor([[0.3, 0.1, 0.2], [0.5, 0.2, 0.1], [0.1, 0.0, -0.4]])


def filtered(m: Any, x: Tensor) -> Tensor:
    y: Tensor = lfilter(m.c(x.mT), POLES, ZEROS)
    return x + y.mT


def running_mean(x: Tensor) -> Tensor:
    return x.cumsum(1) / torch.arange(1, x.shape[1] + 1).to(x.dtype)[None, :, None]


def several_paths() -> list[Case]:
    two_inputs = ({0: "B", 1: "S"}, {0: "B", 1: "S"})
    one_streams = ({0: "B", 1: "S"}, {0: "B"})
    return [
        Case(
            "residual", Apply(lambda m, x: x + m.c(x), c=Channels(nn.Conv1d(3, 3, 3, padding=1))), X
        ),
        Case(
            "delays_differ",
            Apply(
                lambda m, x: m.a(x) * m.b(x),
                a=Channels(nn.Conv1d(3, 3, 3, padding=1)),
                b=Channels(nn.Conv1d(3, 3, 7, padding=3)),
            ),
            X,
        ),
        Case(
            "concat_delays",
            Apply(
                lambda m, x: torch.cat([x, m.b(x)], -1), b=Channels(nn.Conv1d(3, 3, 7, padding=3))
            ),
            X,
        ),
        Case("difference", lambda x: x[:, 1:] - x[:, :-1], X),
        Case("drop_head", lambda x: x[:, 3:], X, asserts=("S >= 3",)),
        Case("drop_tail", lambda x: x[:, :-3], X),
        Case("shift_left", lambda x: F.pad(x[:, 2:], (0, 0, 0, 2)), X, asserts=("S >= 2",)),
        Case("shift_right", lambda x: F.pad(x[:, :-2], (0, 0, 2, 0)), X),
        Case("zero_tail", lambda x: F.pad(x[:, :-2], (0, 0, 0, 2)), X),
        Case("plus_shifted", lambda x: x + F.pad(x[:, :-5], (0, 0, 5, 0)), X),
        Case("plus_zero_tail", lambda x: x * 2 + F.pad(x[:, :-3], (0, 0, 0, 3), value=1.0), X),
        Case("pad_value", lambda x: F.pad(x, (0, 0, 2, 3), value=7.0), X),
        Case("concat_token", lambda x: torch.cat([TOKEN.expand(x.shape[0], 1, 3), x], 1), X),
        Case("two_inputs", lambda x, y: x * 2 + y, (*X, *frames(2, 11, 3)), axes=two_inputs),
        Case(
            "two_inputs_delays",
            Apply(lambda m, x, y: m.c(x) + y, c=Channels(nn.Conv1d(3, 3, 5, padding=2))),
            (*X, *frames(2, 11, 3)),
            axes=two_inputs,
        ),
        Case("fixed_input", lambda x, y: x * y[:, None], (*X, *frames(2, 3)), axes=one_streams),
        Case(
            "two_outputs",
            Apply(lambda m, x: (x.relu(), m.c(x)), c=conv(stride=2)),
            X,
            (4, 2),
        ),
        Case("positions", lambda x: x + torch.arange(x.shape[1]).to(x.dtype)[None, :, None], X),
        Case("expand_after_conv", Apply(expanded, c=conv()), X),
        Case(
            "table_of_positions",
            Apply(lambda m, x: x + m.t.weight[: x.shape[1]], t=nn.Embedding(90, 3)),
            X,
        ),
        Case(
            "embedding_of_positions",
            Apply(lambda m, x: x + m.t(torch.arange(x.shape[1])), t=nn.Embedding(90, 3)),
            X,
        ),
    ]


TOKEN = torch.randn(1, 1, 3)


def expanded(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.c(x).unsqueeze(2).expand(-1, -1, 4, -1)
    return y + 0.5


STREAMABLE = [
    *pointwise(),
    *convolutions(),
    *pools(),
    *spectra(),
    *memory(),
    *several_paths(),
]
