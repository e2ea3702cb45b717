"""Numbers of sizes and of buffers that a model's code computes with as tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from harness import export, export_and_compare
from torchtract.errors import ExportError, SymbolError

# Tensors for numbers, which the types of PyTorch's functions leave out.
F: Any = nn.functional
number: Any = torch.tensor

X = torch.randn(3, 2, 20, generator=torch.Generator().manual_seed(0))
AXES = {"x": {0: "B", 2: "S"}}
SIZES = [{"B": b, "S": s} for b, s in [(1, 5), (2, 6), (1, 7), (3, 8), (1, 21), (2, 64)]]


class WholeStrides(nn.Module):
    """Pads for a convolution of whole strides, as EnCodec's layers do."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 5, 3)
        self.stride = nn.Buffer(torch.tensor(3))
        self.kernel_size = nn.Buffer(torch.tensor(5), persistent=False)
        self.padding = nn.Buffer(self.kernel_size - self.stride)
        self.right = right

    def forward(self, x: torch.Tensor) -> Any:
        length = x.shape[-1]
        frames = (length - self.kernel_size + self.padding) / self.stride + 1
        frames = torch.ceil(frames).to(torch.int64) - 1
        extra = frames * self.stride + self.kernel_size - self.padding - length
        left = self.padding // 2 if self.right else self.padding
        pads = (left, self.padding - left + extra)
        most = max(pads)
        if length <= most:
            x = F.pad(x, (0, most - length + 1))
        return self.conv(F.pad(x, pads))


@pytest.mark.parametrize("right", [False, True])
def test_paddings_of_buffers(right: bool) -> None:
    export_and_compare(
        WholeStrides(right),
        X,
        dynamic_axes=AXES,
        sizes=SIZES,
        custom_extensions=["tract_assert S >= 5"],
    )


FUNCTIONS: dict[str, Any] = {
    "a bound": lambda x: x[..., : number(x.shape[2]) // 2],
    "a fill": lambda x: torch.full((2, number(x.shape[2]) - 1), 3) + x.sum().long() * 0,
    "a view": lambda x: x.view(x.shape[0], -1, torch.div(x.shape[2], 1, rounding_mode="trunc")),
    "rounded": lambda x: x[..., : torch.div(x.shape[2] + 1, 2, rounding_mode="floor")],
    "a range": lambda x: torch.arange(number(x.shape[2]) * 2) + x.shape[0],
    "as float": lambda x: x[..., : (number(x.shape[2]).float() / 4).ceil().long()],
    "negated": lambda x: x[..., (-number(x.shape[2]) // 4).item() :],
    "the larger": lambda x: F.pad(x, (0, torch.maximum(number(x.shape[2]), number(0)))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_of_sizes(name: str) -> None:
    export_and_compare(FUNCTIONS[name], X, dynamic_axes={"x0": AXES["x"]}, sizes=SIZES)


def test_sizes_that_float32_would_round_are_refused() -> None:
    promise = ["tract_assert S >= 5"]
    model = export(WholeStrides(right=False), X, dynamic_axes=AXES, custom_extensions=promise)
    assert "S <= 4194304" in model.assertions
    with pytest.raises(SymbolError, match="S=4194305"):
        model.set(S=4194305)


def test_what_is_not_read_limits_nothing() -> None:
    def mean(x: torch.Tensor) -> Any:
        return x.sum() / number(x.numel()).float() + number(x.shape[2], dtype=torch.int32)

    model = export_and_compare(mean, X, dynamic_axes={"x0": AXES["x"]}, sizes=SIZES)
    assert not model.assertions


def test_products_of_sizes_that_int32_would_not_hold_are_refused() -> None:
    def first(x: torch.Tensor) -> torch.Tensor:
        size = number(x.shape[2], dtype=torch.int32)
        return x.repeat(1, 1, x.shape[2])[..., : size * size]

    model = export_and_compare(first, X, dynamic_axes={"x0": {2: "S"}}, sizes=[{"S": 7}])
    assert set(model.assertions) == {"S <= 2048"}


class Counting(nn.Module):
    """Writes into a tensor whose number was known."""

    def __init__(self, write: str) -> None:
        super().__init__()
        self.write = write

    def forward(self, x: torch.Tensor) -> Any:
        count = torch.tensor(x.shape[2])
        if self.write == "in place":
            count -= (x[0, 0, 0] > 9).long() + 2
        elif self.write == "by a view":
            count.view(1)[0] = 3
        else:
            count[...] = 3
        return x[..., :count] * 2


@pytest.mark.parametrize("write", ["in place", "by a view", "by an index"])
def test_what_is_written_is_not_known(write: str) -> None:
    module = Counting(write)
    try:
        model = export(module, X, dynamic_axes=AXES)
    except ExportError:
        return
    for s in (7, 20):
        (y,) = model.compile().run({"x": X[..., :s].numpy()}).values()
        assert y.shape == module(X[..., :s]).shape


def test_sums_in_place_stay_sums() -> None:
    def add(x: torch.Tensor) -> torch.Tensor:
        scores = x * 2
        scores += x
        return scores

    export_and_compare(add, X, dynamic_axes={"x0": AXES["x"]}, sizes=SIZES)
