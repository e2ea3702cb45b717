"""Slices with a bound that is a tensor: PyTorch's at all sizes, as long as a run finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dynamic.rows import Row, compare_at, floats, integers, row
from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import PulseError, UnsupportedOpError

X = floats("B", "S", 6)
Function = Callable[..., Any]


def resampled(x: torch.Tensor) -> torch.Tensor:
    """As torchaudio goes from 44100 samples a second to 16000: its length is a float32's."""
    whole = x.shape[-1] // 441 * 160 + 160
    length = torch.ceil(torch.as_tensor(160 * x.shape[-1] / 441)).long()
    return torch.arange(whole).to(x.dtype).expand(x.shape[0], whole)[..., :length] + x[:, :1]


def part(x: torch.Tensor, times: float = 2 / 3) -> torch.Tensor:
    return torch.ceil(torch.as_tensor(x.shape[1] * times)).long()


def head(x: torch.Tensor) -> torch.Tensor:
    return x[:, : part(x)]


ROWS = [
    row("to a number", head, X),
    row("from a number", lambda x: x[:, part(x) :], X),
    row("to a number from the end", lambda x: x[:, : -part(x)], X),
    row("from a number from the end", lambda x: x[:, -part(x) :], X),
    row("between numbers", lambda x: x[:, part(x) // 2 : part(x)], X),
    row("between numbers that are crossed", lambda x: x[:, part(x) : part(x) // 2], X),
    row("between 1 and a number", lambda x: x[:, 1 : part(x)], X),
    row("between -2 and a number", lambda x: x[:, -2 : part(x)], X),
    row("between a number and -1", lambda x: x[:, part(x, 1 / 2) : -1], X),
    row("between S // 2 and a number", lambda x: x[:, x.shape[1] // 2 : part(x)], X),
    row("to beyond the end", lambda x: x[:, : part(x, 5)], X),
    row("from before the start", lambda x: x[:, -part(x, 5) :], X),
    row("every second to a number", lambda x: x[:, : part(x) : 2], X),
    row("half of the length as integers", lambda x: x[:, : torch.tensor(x.shape[1]) // 2], X),
    row("the length less 3", lambda x: x[:, : torch.tensor(x.shape[1]) - 3], X),
    row("to a number that is known", lambda x: x[:, : torch.tensor(3)], X),
    row("to an item", lambda x: x[:, : part(x).item()], X),
    row("to a sum of the data", lambda x, n: x[:, : n.sum()], X, integers(2, low=-1, high=5)),
    row("from a number of the data", lambda x, n: x[:, n[0] :], X, integers(3)),
    row("rows to a number of the data", lambda x, n: x[: n[0]], X, integers(3)),
    row("of a table", lambda x, n: torch.arange(9)[n[0] :] + x.long()[0, 0, 0], X, integers(3)),
    row("of booleans", lambda x: (x > 0)[:, : part(x)], X),
    row("halves added", lambda x: head(x) + head(x * 2), X),
    row("mean", lambda x: head(x).mean(1), X),
    row("joined", lambda x: torch.cat([head(x), x], 1), X),
    row("padded", lambda x: F.pad(head(x), (0, 0, 2, 3)), X),
    row("convolved", lambda x: F.conv1d(head(x).mT, torch.ones(2, 6, 3), padding=1), X),
    row("flattened", lambda x: head(x).reshape(-1), X),
    row("beside zeros", lambda x: torch.zeros_like(head(x)) + head(x), X),
    row("numbered", lambda x: head(x)[..., 0] * torch.arange(head(x).shape[1]), X),
    row("their number", lambda x: x.sum() / head(x).shape[1], X),
    row("sliced again", lambda x: head(x)[:, 1:-1], X),
    row("flipped", lambda x: head(x).flip(1), X),
    row(
        "a number more", lambda x: x[:, : part(x).item() + 1], X, refused="u0, which is known only"
    ),
    row("a size alone", lambda x: torch.zeros(head(x).shape[1]), X, refused="and not on which"),
    row("two numbers", lambda x: head(x) + x[:, : part(x, 2 / 4)], X, refused="takes for granted"),
]


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_lengths_of_a_run(case: Row) -> None:
    case.check()


# Where float32 rounds a length down, and beside.
LENGTHS = [1, 440, 441, 442, 38_000, 90_000, 180_696, 180_697, 180_698, 1_000_002, 1_999_998]


def test_lengths_are_rounded_as_float32_is() -> None:
    runnable = export(
        resampled, torch.rand(2, 2000), dynamic_axes={"x0": {0: "B", 1: "S"}}
    ).compile()
    exact = [-(-length * 160 // 441) for length in LENGTHS]
    rounded = [resampled(torch.rand(1, length)).shape[1] for length in LENGTHS]
    assert 0 < sum(map(int.__ne__, exact, rounded)) < len(LENGTHS)
    assert all(compare_at(resampled, runnable, [torch.rand(1, length)]) for length in LENGTHS)


@pytest.mark.parametrize("function", [head, lambda x: head(x)[:, 1:].flip(1), resampled])
def test_sizes_that_are_set(function: Function) -> None:
    x = torch.rand(2, 9)
    model = export(function, x, dynamic_axes={"x0": {0: "B", 1: "S"}})
    for sizes in ({"S": 9}, {"B": 2, "S": 9}):
        actual = model.set(**sizes).compile().run({"x0": x})["output"]
        assert torch.equal(torch.from_numpy(actual), function(x))


def test_the_length_is_a_symbol_of_the_file() -> None:
    model = export(lambda x: (head(x), x + 1), torch.rand(2, 9), dynamic_axes={"x0": {1: "S"}})
    assert model.symbols == ("S", "slice_length")
    assert [output.shape for output in model.outputs] == [(2, "slice_length"), (2, "S")]
    unused = export(lambda x: (head(x), x + 1)[1], torch.rand(2, 9), dynamic_axes={"x0": {1: "S"}})
    assert unused.symbols == ("S",)


def test_an_item_that_something_else_takes_is_refused_with_its_line() -> None:
    with pytest.raises(UnsupportedOpError, match=r"test_lengths_of_a_run\.py:\d+: aten.zeros"):
        export(
            lambda x: head(x).sum() + torch.zeros(part(x).item()),  # type: ignore[arg-type]
            torch.rand(2, 9),
            dynamic_axes={"x0": {1: "S"}},
        )


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x, _: head(x), "S, the number of frames, which nobody knows before"),
        (lambda x, n: x[:, : n.sum()], "S, the number of frames, which nobody knows before"),
        (lambda x, n: x[..., : n.sum()], "a size that only a run finds, slice_length"),
    ],
    ids=["by the stream's length", "frames by data", "features by data"],
)
def test_no_stream(function: Function, reason: str) -> None:
    args = torch.rand(2, 40, 6), torch.tensor([3])
    model = export(function, *args, dynamic_axes={"x0": {1: "S"}})
    with pytest.raises(PulseError, match=reason):
        model.pulse(S=4)


def test_sizes_that_code_puts_into_a_tensor_and_reads_again() -> None:
    """As DeBERTa does: the numbers are expressions of sizes, and no run has to find them."""
    table = uniform(32, 4, seed=1)

    def positions(x: torch.Tensor) -> torch.Tensor:
        span = torch.tensor(min(x.shape[1], 16))
        near = table[16 - span : 16 + span]
        place = torch.arange(x.shape[1]) + span
        last: Any = span * 2 - 1  # a tensor, taken for a number
        return x + near[torch.clamp(place, 0, last)]

    export_and_compare(
        positions,
        uniform(2, 9, 4),
        dynamic_axes={"x0": {0: "B", 1: "S"}},
        sizes=[{"S": 1, "B": 1}, {"S": 16}, {"S": 40}],
    )


def test_a_size_in_a_tensor_that_is_taken_away_twice() -> None:
    table = uniform(40, 4, seed=1)

    def cut(x: torch.Tensor) -> torch.Tensor:
        end: Any = torch.rsub(torch.tensor(x.shape[1]), 40, alpha=2)
        return table[:end] + x[0, :1]

    sizes = [{"S": 1, "B": 1}, {"S": 16}]
    export_and_compare(cut, uniform(2, 9, 4), dynamic_axes={"x0": {0: "B", 1: "S"}}, sizes=sizes)
