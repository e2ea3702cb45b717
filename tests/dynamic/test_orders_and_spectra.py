"""Sorting, cumulative functions, spectra and scattered writes over dynamic axes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dynamic.rows import Row, floats, integers, masks, row

X = floats("B", "S", 6)
LAST = floats("B", "S")
FIRST = torch.tensor([0])

ROWS = [
    row("sorted over S", lambda x: x.sort(1), X),
    row("sorted downwards", lambda x: x.sort(dim=1, descending=True)[0], X),
    row("order of S", lambda x: x.argsort(1), X),
    row("the two largest", lambda x: x.topk(2, 1), X),
    row("the three largest, or fewer", lambda x: x.topk(min(x.shape[1], 3), 1)[0], X),
    row("the larger half", lambda x: x.topk(x.shape[1] // 2, 1)[0], X),
    row("the second smallest", lambda x: x.kthvalue(2, 1)[0], X),
    row("the middle by rank", lambda x: x.kthvalue(max(x.shape[1] // 2, 1), 1)[0], X),
    row("median", lambda x: x.median(1), X),
    row("the most frequent", lambda n: n.mode(1)[0], integers("B", "S", low=0, high=3)),
    row("a quantile", lambda x: torch.quantile(x, 0.3, dim=1), X),
    row("cumulative maximum", lambda x: x.cummax(1), X),
    row("cumulative product", lambda x: x.cumprod(1), floats("B", "S", low=0.9, high=1.1)),
    row("cumulative logsumexp", lambda x: x.logcumsumexp(1), X),
    row("ranks", lambda x: x.argsort(1).argsort(1), X),
    row(
        "places in a sorted table",
        lambda x: torch.searchsorted(x[:, 0].sort()[0], x[:, 1].contiguous()),
        floats("S", 2),
    ),
    row("spectrum", lambda x: torch.fft.fft(x, dim=1).abs(), X, atol=1e-3),
    row("spectrum and back", lambda x: torch.fft.irfft(torch.fft.rfft(x), x.shape[1]), LAST),
    row("shifted to the middle", lambda x: torch.fft.fftshift(x, 1), X),
    row(
        "frames of a spectrogram",
        lambda x: torch.stft(
            x, 4, 2, window=torch.hann_window(4), return_complex=True, pad_mode="constant"
        ).abs(),
        LAST,
        atol=1e-4,
    ),
    row("scattered maxima", lambda x: _scattered(x, "amax"), X),
    row("scattered products", lambda x: _scattered(x, "prod"), floats("B", "S", 6, low=0.9)),
    row("the last replaced", lambda x: x.select_scatter(x[:, 0] * 2, 1, -1), X),
    row("a diagonal replaced", lambda x: x.diagonal_scatter(x[:, 0] * 0 + 1), floats("S", "S")),
    row("values into a mask", lambda x, m: x.masked_scatter(m, x * 2), LAST, masks("B", "S")),
    row("the first copied from the last", lambda x: x.index_copy(1, FIRST, x[:, -1:]), X),
    row("norms of at most 1", lambda x: x.renorm(2, 0, 1.0), X),
    row(
        "sampled at places", lambda x: F.grid_sample(x[:, None], _places(x)), floats("B", "H", "W")
    ),
]


def _scattered(x: torch.Tensor, how: str) -> torch.Tensor:
    places = (x * 9).abs().long() % 4
    return torch.zeros(x.shape[0], 4, 6).scatter_reduce(1, places, x, how)


def _places(x: torch.Tensor) -> torch.Tensor:
    return torch.full((x.shape[0], 2, 2, 2), 0.3)


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_orders_and_spectra(entry: Row) -> None:
    entry.check()
