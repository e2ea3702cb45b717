"""Numbers in tensors that PyTorch takes for sizes: right where they are, an error elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness import export
from torchtract.errors import RunError

X = torch.rand(3, 8, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([3, 8, 5])
AXES = {"x": {0: "B", 1: "S"}, "lengths": {0: "B"}}


class Padded(nn.Module):
    """A mask as long as the longest row, which is as long as there are frames."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        return torch.where(mask, x, -1.0), mask


class FirstThree(nn.Module):
    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        n = lengths[0].item()
        torch._check(n == 3)
        return x[:, :n] * n


def outputs(module: nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> list[np.ndarray]:
    model = export(module, X, LENGTHS, dynamic_axes=AXES)
    return list(model.compile().run({"x": x, "lengths": lengths}).values())


def expected(module: nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> list[np.ndarray]:
    results = module(x, lengths)
    return [y.numpy() for y in (results if isinstance(results, tuple) else (results,))]


@pytest.mark.parametrize("lengths", [[3, 8, 5], [8], [8, 8], [1, 0, 8, 7]])
def test_a_mask_of_the_longest_row_is_right_at_all_sizes(lengths: list[int]) -> None:
    of_rows = torch.tensor(lengths)
    x = X[:1].repeat(len(lengths), 1)
    ours, theirs = (f(Padded(), x, of_rows) for f in (outputs, expected))
    for y, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(y, wanted)
    ours, theirs = (f(Padded(), x[:, :1], of_rows.clamp(max=1)) for f in (outputs, expected))
    for y, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("longest", [0, 1, 7, 9])  # PyTorch would spread a mask of 1
def test_rows_that_are_all_shorter_or_one_that_is_longer_is_an_error(longest: int) -> None:
    with pytest.raises(RunError, match="max_is_S"):
        outputs(Padded(), X, torch.tensor([0, longest, 0]))


def test_a_number_that_has_to_be_another() -> None:
    (ours,) = outputs(FirstThree(), X, LENGTHS)
    np.testing.assert_array_equal(ours, X[:, :3].numpy() * 3)
    with pytest.raises(RunError, match="select_is_3"):
        outputs(FirstThree(), X, LENGTHS + 1)
