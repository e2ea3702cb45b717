"""Convolutions give PyTorch's numbers at every size that their symbols allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import export, export_and_compare
from lower.ops.inputs import HALF, integers, uniform

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


@pytest.mark.parametrize("spatial", CONVS)
def test_conv_without_batch(spatial: int) -> None:
    module = CONVS[spatial](4, 6, 3, stride=2, padding=1)
    axes = {"input": {1: "S"}}
    x = uniform(4, *SPATIAL[spatial])
    export_and_compare(module, x, dynamic_axes=axes, sizes=[{"S": 3}, {"S": 16}])


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_conv(multiplier: int) -> None:
    module = nn.Conv2d(4, 4 * multiplier, 3, padding=1, groups=4)
    axes = {"input": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 2, "S": 20}]
    export_and_compare(module, uniform(3, 4, 9, 11), dynamic_axes=axes, sizes=sizes)


def test_conv_with_different_arguments_for_each_axis() -> None:
    module = nn.Conv2d(4, 6, (2, 5), stride=(1, 3), padding=(0, 2), dilation=(3, 1))
    export_and_compare(module, uniform(3, 4, 9, 11), dynamic_axes={"input": {0: "B"}})


def test_conv_with_weights_that_are_an_input() -> None:
    export_and_compare(F.conv1d, uniform(3, 4, 13), uniform(6, 4, 3), dynamic_axes={"x0": {0: "B"}})


def test_conv_of_doubles() -> None:
    module = nn.Conv2d(4, 6, 3).double()
    export_and_compare(module, uniform(3, 4, 9, 11).double(), rtol=1e-12, atol=1e-12)


def test_conv_of_halves() -> None:
    module = nn.Conv2d(4, 6, 3).half()
    export_and_compare(module, uniform(3, 4, 9, 11).half(), **HALF)


@pytest.mark.parametrize("spatial", TRANSPOSED)
def test_transposed_conv_of_halves_is_rounded_once(spatial: int) -> None:
    module = TRANSPOSED[spatial](4, 6, 3, stride=2, output_padding=1)
    module, x = module.half(), uniform(3, 4, *SPATIAL[spatial]).half()
    given = export(module, x).compile().run({"input": x})["output"]
    exact = module.float()(x.float()).detach().half().numpy()
    np.testing.assert_allclose(given, exact, rtol=1e-3, atol=1e-6)


def test_convolution_by_its_lowest_name() -> None:
    def convolve(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.convolution(x, weight, None, [2], [1], [1], False, [0], 1)

    def transposed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.convolution(x, weight, None, [2], [1], [1], True, [1], 2)

    export_and_compare(convolve, uniform(3, 4, 9, 11), uniform(6, 4, 3, 3))
    export_and_compare(transposed, uniform(3, 4, 9, 11), uniform(4, 3, 3, 3))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_conv_of_integers_overflows_as_in_pytorch(dtype: torch.dtype) -> None:
    limits = torch.iinfo(dtype)
    x = integers(2, 4, 7, 6, low=limits.min // 2, high=limits.max // 2, dtype=dtype)
    weight = integers(6, 2, 3, 2, low=limits.min // 2, high=limits.max // 2, dtype=dtype, seed=1)
    bias = integers(6, low=0, high=99, dtype=dtype)
    export_and_compare(
        lambda x, weight, bias: F.conv2d(x, weight, bias, stride=2, padding=1, groups=2),
        *(x, weight, bias),
        dynamic_axes={"x0": {2: "S"}},
        sizes=[{"S": 3}],
    )


def test_transposed_conv_of_integers() -> None:
    x, weight = integers(2, 4, 7, low=-(2**62), high=2**62), integers(4, 3, 3, low=-9, high=9)
    export_and_compare(lambda x, w: F.conv_transpose1d(x, w, stride=2, padding=1), x, weight)


def test_conv_of_half_precision_is_rounded_once() -> None:
    x, weight = uniform(1, 64, 9, 9).half(), uniform(4, 64, 3, 3, seed=1).half()
    model = export(F.conv2d, x, weight).compile()
    exact = F.conv2d(x.double(), weight.double())
    actual = torch.from_numpy(model.run({"x0": x, "x1": weight})["output"])
    assert torch.equal(actual, exact.half())


#: Further arguments after the channels, 4 to 6.
TRANSPOSED_ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 3},
    "stride is kernel": {"kernel_size": 2, "stride": 2},
    "stride over kernel": {"kernel_size": 2, "stride": 3},
    "crop": {"kernel_size": 3, "stride": 2, "padding": 1},
    "output padding within the crop": {
        "kernel_size": 3,
        "stride": 2,
        "padding": 1,
        "output_padding": 1,
    },
    "output padding beyond the crop": {"kernel_size": 2, "stride": 3, "output_padding": 2},
    "output padding over the stride": {"kernel_size": 2, "dilation": 3, "output_padding": 2},
    "dilation": {"kernel_size": 2, "dilation": 3, "padding": 1},
    "groups": {"kernel_size": 3, "groups": 2, "stride": 2},
    "no bias": {"kernel_size": 3, "bias": False},
}


@pytest.mark.parametrize("spatial", TRANSPOSED)
@pytest.mark.parametrize("name", TRANSPOSED_ARGUMENTS)
def test_conv_transpose(spatial: int, name: str) -> None:
    module = TRANSPOSED[spatial](4, 6, **TRANSPOSED_ARGUMENTS[name])
    axes = {"input": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 2}, {"B": 4, "S": 8}]
    export_and_compare(module, uniform(3, 4, *SPATIAL[spatial]), dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_conv_transpose(multiplier: int) -> None:
    module = nn.ConvTranspose2d(4, 4 * multiplier, 3, stride=2, padding=1, groups=4)
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 2, "T": 3}, {"B": 2, "S": 12, "T": 5}]
    export_and_compare(module, uniform(3, 4, 9, 11), dynamic_axes=axes, sizes=sizes)


def test_conv_transpose_without_batch() -> None:
    module = nn.ConvTranspose1d(4, 6, 3, stride=2)
    export_and_compare(
        module, uniform(4, 13), dynamic_axes={"input": {1: "S"}}, sizes=[{"S": 1}, {"S": 20}]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64])
def test_as_many_groups_as_a_symbol_says(dtype: torch.dtype) -> None:
    """As in torchaudio's `ComputeDeltas`, which filters the rows of all spectra alike."""

    def deltas(x: torch.Tensor) -> Any:
        rows = x.reshape(1, -1, x.shape[2])
        kernel = torch.arange(-2, 3).to(x.dtype).repeat(rows.shape[1], 1, 1)
        y = F.conv1d(rows, kernel, padding=1, dilation=2, groups=rows.shape[1])
        return y.reshape(x.shape[0], x.shape[1], -1)

    x = (
        uniform(3, 4, 11).to(dtype)
        if dtype.is_floating_point
        else integers(3, 4, 11, low=-9, high=9)
    )
    sizes = [{"B": 1, "S": 7}, {"B": 2, "S": 30}]
    export_and_compare(deltas, x, dynamic_axes={"x0": {0: "B", 2: "S"}}, sizes=sizes)


def test_as_many_groups_over_two_axes() -> None:
    def blurred(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        channels = x.shape[0]
        return F.conv2d(x, weight, bias, padding=(1, 2), groups=channels)

    args = uniform(5, 7, 8), uniform(5, 1, 3, 2, seed=1), uniform(5, seed=2)
    axes = {"x0": {0: "C", 2: "W"}, "x1": {0: "C"}, "x2": {0: "C"}}
    export_and_compare(
        blurred, *args, dynamic_axes=axes, sizes=[{"C": 1, "W": 2}, {"C": 9, "W": 5}]
    )
