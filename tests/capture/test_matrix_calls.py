"""Functions of matrices that PyTorch's own code can't be traced through."""

from __future__ import annotations

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

pytestmark = pytest.mark.filterwarnings(r"ignore:cov\(\). degrees of freedom is <= 0")

AXES = {"x0": {1: "S"}, "x1": {0: "S"}, "x2": {0: "S"}}
SIZES = [{"S": 2}, {"S": 9}]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("correction", [0, 1, 3])
def test_weighted_covariance(rows: int, correction: int) -> None:
    x, frequencies = uniform(rows, 5), integers(5, low=1, high=4)
    weights = uniform(5, low=0.5, high=2)
    export_and_compare(
        lambda x, f, w: (
            torch.cov(x, correction=correction),
            x.cov(correction=correction, fweights=f),
            torch.cov(x, correction=correction, aweights=w),
            torch.cov(x, correction=correction, fweights=f, aweights=w),
        ),
        *(x, frequencies, weights),
        dynamic_axes=AXES,
        sizes=SIZES,
    )


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,), (), (3, 1), (0,), (0, 3)], ids=str)
def test_covariance_and_correlation(shape: tuple[int, ...]) -> None:
    export_and_compare(lambda x: (torch.cov(x), torch.corrcoef(x), x.sum()), uniform(*shape))


def test_covariance_of_integers() -> None:
    x = integers(3, 5, low=-4, high=4)
    export_and_compare(lambda x: (torch.cov(x), torch.corrcoef(x)), x)
    export_and_compare(lambda x: torch.cov(x.double(), fweights=x[0].abs()), x)


def test_no_degrees_of_freedom() -> None:
    export_and_compare(
        lambda x, f: (torch.cov(x, correction=7), torch.cov(x, correction=9, fweights=f)),
        *(uniform(2, 3), torch.tensor([1, 2, 3])),
    )
