"""Example tensors that are the same in every run."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["HALF", "integers", "uniform"]

#: Tolerances of half precision, which keeps three digits.
HALF: dict[str, Any] = {"rtol": 3e-3, "atol": 3e-3}


def uniform(*shape: int, low: float = -3.0, high: float = 3.0, seed: int = 0) -> torch.Tensor:
    """Float32 numbers from low to high."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * (high - low) + low


def integers(
    *shape: int, low: int, high: int, dtype: torch.dtype = torch.int64, seed: int = 0
) -> torch.Tensor:
    """Whole numbers from low to high, both included."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, shape, generator=generator).to(dtype)
