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
