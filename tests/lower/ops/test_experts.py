"""Groups of rows times a matrix for each group."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers.integrations.moe  # noqa: F401  (it defines the operator)
from torch import nn

from harness import export, export_and_compare


class Experts(nn.Module):
    """Rows sent to the expert of their group, as many as `counts` says."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(experts, 4, 3))

    def forward(self, x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        ends = counts.cumsum(0, dtype=torch.int32)
        product: torch.Tensor = torch.ops.transformers.grouped_mm_fallback(x, self.weights, ends)
        return product


@pytest.mark.parametrize("counts", [[2, 3, 1], [0, 6, 0], [0, 0, 6], [6]])
def test_groups_of_any_length_empty_ones_among_them(counts: list[int]) -> None:
    experts = Experts(len(counts))

    export_and_compare(experts, torch.randn(6, 4), torch.tensor(counts))


@pytest.mark.parametrize("rows", [1, 9])
def test_the_number_of_rows_is_free(rows: int) -> None:
    experts = Experts(2)
    example = torch.randn(6, 4), torch.tensor([2, 4])
    runnable = export(experts, *example, dynamic_axes={"x": {0: "S"}}).compile()
    x, counts = torch.randn(rows, 4), torch.tensor([rows // 2, rows - rows // 2])

    with torch.no_grad():
        np.testing.assert_allclose(runnable(x, counts), experts(x, counts), rtol=1e-4, atol=1e-5)


def test_what_another_group_would_give_does_not_matter() -> None:
    x = torch.randn(5, 4)
    x[0, 0] = torch.inf

    export_and_compare(Experts(2), x, torch.tensor([1, 4]))
