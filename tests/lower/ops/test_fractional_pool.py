"""Poolings at random places are PyTorch's where the module gets the random samples."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError


def pooled(x: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F.fractional_max_pool2d_with_indices(
        x, (2, 3), output_size=(4, 3), return_indices=True, _random_samples=samples
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images(dtype: torch.dtype) -> None:
    x, samples = uniform(2, 3, 9, 8).to(dtype), uniform(2, 3, 2, low=0, high=1).to(dtype)
    x[0, 0, 3:5] = torch.nan
    axes = {"x0": {0: "B"}, "x1": {0: "B"}}
    export_and_compare(pooled, x, samples, dynamic_axes=axes, sizes=[{"B": 1}])


def test_volumes() -> None:
    x, samples = uniform(2, 3, 7, 6, 8), uniform(2, 3, 3, low=0, high=1, seed=1)
    export_and_compare(
        lambda x, samples: F.fractional_max_pool3d(
            x, (3, 2, 2), output_size=(3, 1, 4), _random_samples=samples
        ),
        *(x, samples),
    )


def test_samples_that_pytorch_draws_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="it is random"):
        export(lambda x: F.fractional_max_pool2d(x, 2, output_size=3), uniform(1, 2, 6, 6))


def test_large_windows_are_refused() -> None:
    x, samples = uniform(1, 1, 20, 20), uniform(1, 1, 2, low=0, high=1)
    with pytest.raises(UnsupportedOpError, match="more than 64 elements"):
        export(
            lambda x, s: F.fractional_max_pool2d(x, 9, output_size=3, _random_samples=s),
            *(x, samples),
        )
