"""Programs that torch's rules rewrite keep their sizes and their constants."""

from __future__ import annotations

import torch
from torch import nn

from harness import export_and_compare


class Attention(torch.nn.Module):
    """Attention to what comes before, with a mask kept as a buffer and a constant in the code."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(64, 64, dtype=torch.bool).tril(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        scores = torch.where(self.mask[:length, :length], x @ x.mT, torch.tensor(-5.0))
        return scores.softmax(-1) @ x


def test_constants_may_come_in_another_order() -> None:
    model = torch.nn.Sequential(Attention(), Attention())

    export_and_compare(
        model,
        torch.rand(2, 5, 3),
        dynamic_axes={"input": {0: "B", 1: "S"}},
        sizes=[{"B": 1, "S": 1}, {"B": 3, "S": 16}],
        custom_extensions=["tract_assert S <= 64"],
    )


def test_sizes_that_are_equal_at_the_examples_stay_apart() -> None:
    class Codec(nn.Module):
        """Gives eight numbers for each eight whole ones, and no more than there were."""

        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Conv1d(1, 4, 16, 8, 4)
            self.decode = nn.ConvTranspose1d(4, 1, 16, 8, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            codes = self.encode(x)
            loss = nn.functional.mse_loss(codes, codes.sign())  # is decomposed
            return self.decode(codes)[..., : x.shape[-1]], loss

    export_and_compare(
        Codec().eval(),
        torch.rand(2, 1, 80),
        dynamic_axes={"x": {0: "B", 2: "S"}},
        sizes=[{"S": 81}, {"S": 87, "B": 1}, {"S": 8}],
    )
