"""Convolutions give PyTorch's numbers at every size that their symbols allow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torch import nn
from torch.nn import functional as F
from torchtract.errors import UnsupportedOpError

#: Sizes of a batch and of the spatial axes `[N, C, S]`, `[N, C, S, T]`, `[N, C, S, T, U]`.
BATCHES = [{"B": 1}, {"B": 4}]
CONVS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.Module]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
SPATIAL = {1: (13,), 2: (9, 11), 3: (5, 6, 7)}

#: Further arguments after the channels, 4 to 6.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 3},
    "pointwise": {"kernel_size": 1},
    "even kernel": {"kernel_size": 4, "padding": 2},
    "stride": {"kernel_size": 3, "stride": 2, "padding": 1},
    "stride over kernel": {"kernel_size": 2, "stride": 3},
    "dilation": {"kernel_size": 2, "dilation": 3, "padding": 2},
    "groups": {"kernel_size": 3, "groups": 2, "padding": 1},
    "no bias": {"kernel_size": 3, "bias": False},
    "same": {"kernel_size": 4, "padding": "same"},
    "same, dilated": {"kernel_size": 2, "padding": "same", "dilation": 3},
    "valid": {"kernel_size": 3, "padding": "valid", "stride": 2},
    "circular": {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    "reflect": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    "replicate": {"kernel_size": 4, "padding": "same", "padding_mode": "replicate"},
}


#: PyTorch copies the input where 'same' is not the same on both sides.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("spatial", CONVS)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_conv(spatial: int, name: str) -> None:
    module = CONVS[spatial](4, 6, **ARGUMENTS[name])
    x = uniform(3, 4, *SPATIAL[spatial])
    export_and_compare(module, x, dynamic_axes={"input": {0: "B"}}, sizes=BATCHES)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_conv_over_symbolic_sizes(name: str) -> None:
    module = nn.Conv2d(4, 6, **ARGUMENTS[name])
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 4, "T": 9}, {"B": 2, "S": 12, "T": 5}]
    asserted = ["tract_assert S >= 4", "tract_assert T >= 4"]
    x = uniform(3, 4, 9, 11)
    export_and_compare(module, x, dynamic_axes=axes, sizes=sizes, custom_extensions=asserted)
