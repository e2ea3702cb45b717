"""What is computed by vectorised operators although sizes are symbols."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from harness import export


class Residual(nn.Module):
    """[B, S, 8] to the same: what a transformer does between its products."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.into(x)
        z: torch.Tensor = y + self.out(self.norm(y)).clamp(-1, 0.5)
        return z


@pytest.mark.parametrize("axes", [{0: "B"}, {0: "B", 1: "S"}], ids=str)
def test_a_residual_connection(axes: dict[int, str]) -> None:
    torch.manual_seed(0)
    module = Residual().eval()
    x = torch.randn(2, 5, 8)
    runnable = export(module, x, dynamic_axes={"x": axes}, input_names=["x"]).compile()
    operators = Counter(node.op for node in runnable.nodes())
    assert operators["OptSubByScalar"] == 1
    assert operators["OptAddUnicast"] == 1
    assert operators["Add"] == 0
    for batch in (0, 1, 2, 7):
        given = torch.randn(batch, 5, 8)
        with torch.no_grad():
            expected = module(given).numpy()
        np.testing.assert_allclose(runnable(given), expected, atol=1e-5)


class Windows(nn.Module):
    """[S] to [S // 100 - 1, 200], scaled: no window where a kernel's typical size is put for S."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = x.unfold(0, 200, 100)
        return windows * windows.mean(1, keepdim=True)


def test_a_size_that_is_negative_at_typical_sizes() -> None:
    x = torch.randn(1000)
    axes = {"x": {0: "S"}}
    runnable = export(Windows(), x, dynamic_axes=axes, input_names=["x"]).compile()
    for size in (200, 1234):
        given = torch.randn(size)
        np.testing.assert_allclose(runnable(given), Windows()(given).numpy(), atol=1e-5)


class Tied(nn.Module):
    """A table of more than 4 MB, whose rows are looked up and then compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(5000, 256))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(ids, self.table) @ self.table.T


def test_weights_that_several_operators_use_are_packed_ahead() -> None:
    torch.manual_seed(0)
    module = Tied().eval()
    runnable = export(module, torch.tensor([1, 4999])).compile()
    operators = Counter(node.op for node in runnable.nodes())
    # What stays packs the rows that were looked up.
    assert operators["OptMatMulPack"] <= 1
    given = torch.tensor([7, 123])
    np.testing.assert_allclose(
        runnable(given), module(given).detach().numpy(), rtol=1e-3, atol=1e-3
    )
