"""In-place writes and views of dynamic size come out as new values, or are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dynamic.rows import Row, floats, integers, masks, row

X = floats("B", "S", 6)

Change = Callable[[torch.Tensor], object]


def written(change: Change) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that changes a copy of its input and returns it."""

    def function(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        change(y)
        return y

    return function


def _first_is_zero(x: torch.Tensor) -> None:
    x[:, 0] = 0


def _last_is_one(x: torch.Tensor) -> None:
    x[:, -1] = 1.0


def _all_but_the_last_negative(x: torch.Tensor) -> None:
    x[:, :-1] = -x[:, 1:]


def _half_is_zero(x: torch.Tensor) -> None:
    x[:, : x.shape[1] // 2] = 0


def _every_second_is_zero(x: torch.Tensor) -> None:
    x[:, ::2] = 0


def _by_mask(x: torch.Tensor) -> None:
    x[x > 1] = 0


def _by_rows(x: torch.Tensor) -> None:
    x[torch.arange(x.shape[0]), 0] = 7.0


def _a_corner(x: torch.Tensor) -> None:
    x[0, :, 2:4] = 1


def _swapped_halves(x: torch.Tensor) -> None:
    x[..., :3], x[..., 3:] = x[..., 3:].clone(), x[..., :3].clone()


def _row_of_numbers(x: torch.Tensor) -> None:
    x[:, 0] = torch.arange(6.0)


def _augmented(x: torch.Tensor) -> None:
    x[:, 1:] += x[:, :-1].clone()


def _view_of_a_view(x: torch.Tensor) -> None:
    x.transpose(1, 2)[:, 0].mul_(2)


def _diagonal(x: torch.Tensor) -> None:
    x.diagonal(dim1=1, dim2=2).fill_(9)


def _loop(x: torch.Tensor) -> None:
    for i in range(3):
        x[..., i] = x[..., i + 1] * i


class Cache(torch.nn.Module):
    """Fills a table of its own up to S, from a copy."""

    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(1, 200, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = self.table.clone().expand(x.shape[0], -1, -1).clone()
        table[:, : x.shape[1]] = x
        return table


class Moved(torch.nn.Module):
    """Brings its buffer to the dtype that it is used in, which it has already."""

    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(6.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.table = self.table.to(x.dtype)
        return x + self.table


class Counter(torch.nn.Module):
    """Counts what it has seen, in a buffer."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += x.shape[1]
        return x + self.seen


def _of_an_input(x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return x * 2


def _filled_list(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros(x.shape[0], x.shape[1] + 2, 6)
    y[:, 1:-1] = x
    return y


def _running(x: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(x)
    y[:] = x
    y[:, 0] += y[:, -1]
    return y


def _assigned(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[mask] = 0
    return y


def _picked(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[mask] = x[mask] * 2
    return y


ROWS = [
    row("x[:, 0] = 0", written(_first_is_zero), X),
    row("x[:, -1] = 1", written(_last_is_one), X),
    row("x[:, :-1] = -x[:, 1:]", written(_all_but_the_last_negative), X, stops=({"S": 0},)),
    row("x[:, :S // 2] = 0", written(_half_is_zero), X),
    row("x[:, ::2] = 0", written(_every_second_is_zero), X),
    row("x[x > 1] = 0", written(_by_mask), X),
    row("x[arange(B), 0] = 7", written(_by_rows), X),
    row("x[0, :, 2:4] = 1", written(_a_corner), X),
    row("halves swapped", written(_swapped_halves), X),
    row("x[:, 0] = numbers", written(_row_of_numbers), X),
    row("x[:, 1:] += x[:, :-1]", written(_augmented), X, stops=({"S": 0},)),
    row("v = y[:, 1]; v.mul_(3)", written(lambda y: y[:, 1].mul_(3)), X),
    row("y.view(-1).add_(1)", written(lambda y: y.view(-1).add_(1)), X),
    row("a view of a view", written(_view_of_a_view), X),
    row("diagonal filled", written(_diagonal), X),
    row("features in a loop", written(_loop), X),
    row("clamp_ and relu_", written(lambda y: y.clamp_(-1, 1).relu_()), X),
    row(
        "masked_fill_", lambda x, m: x.clone().masked_fill_(m[..., None], -1e9), X, masks("B", "S")
    ),
    row("x[m] = 0 by another", _assigned, X, masks("B", "S")),
    row("x[m] = y[m]", _picked, X, masks("B", "S")),
    row("index_fill_", written(lambda y: y.index_fill_(1, torch.tensor([0]), 3.0)), X),
    row(
        "scatter_",
        lambda x, n: x.clone().scatter_(1, n % x.shape[1], 0.0),
        floats("B", "S"),
        integers("B", "S"),
    ),
    row(
        "index_put_ adds",
        lambda x, n: x.clone().index_put_((n % x.shape[0],), torch.tensor(1.0), accumulate=True),
        floats("S", 6),
        integers("T"),
    ),
    row("zeros of S+2, filled", _filled_list, X),
    row("empty_like, filled", _running, X),
    row("table filled up to S", Cache(), floats("B", "S", 6)),
    row("copy_", lambda x, y: y.clone().copy_(x), floats("S", 1), X),
    row("an input is changed", _of_an_input, X, refused="changes it in place"),
    row("a buffer is set to itself", Moved(), X),
    row("a buffer counts", Counter(), X, refused="changes it in place"),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_writes(entry: Row) -> None:
    entry.check()
