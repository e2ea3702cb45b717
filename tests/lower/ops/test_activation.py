"""Activation functions, softmax and dropout give PyTorch's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform
from torchtract.errors import UnsupportedOpError

Function = Callable[[torch.Tensor], torch.Tensor]

ACTIVATIONS: dict[str, Function] = {
    "relu": F.relu,
    "relu_in_place": lambda x: x.clone().relu_(),
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "leaky_relu_0.2": lambda x: F.leaky_relu(x, 0.2),
    "rrelu": F.rrelu,
    "elu": F.elu,
    "elu_0.5": lambda x: F.elu(x, 0.5),
    "selu": F.selu,
    "celu": F.celu,
    "celu_0.5": lambda x: F.celu(x, 0.5),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_written_out": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "silu": F.silu,
    "mish": F.mish,
    "hardtanh": F.hardtanh,
    "hardtanh_bounds": lambda x: F.hardtanh(x, -0.5, 2),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "sigmoid": F.sigmoid,
    "expit": torch.special.expit,
    "log_sigmoid": F.logsigmoid,
    "softplus": F.softplus,
    "softplus_sharp": lambda x: F.softplus(x, beta=3, threshold=2),
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink,
    "softshrink_1": lambda x: F.softshrink(x, 1),
    "hardshrink": F.hardshrink,
    "hardshrink_1": lambda x: F.hardshrink(x, 1),
    "threshold": lambda x: F.threshold(x, 0.3, -7),
    "glu": F.glu,
    "glu_0": lambda x: F.glu(x, 0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    x = uniform(4, 6, low=-8, high=8)
    axis = 1 if name == "glu_0" else 0
    dynamic_axes = {"x0": {axis: "S"}}
    export_and_compare(ACTIVATIONS[name], x, dynamic_axes=dynamic_axes, sizes=[{"S": 1}, {"S": 11}])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_far_from_zero(name: str) -> None:
    x = torch.tensor([-30.0, -0.0, 0.0, 25.0, 90.0, 1e4])
    # tract's tanh and sigmoid end 5e-7 away from their limits, and these multiply by that.
    if name not in ("gelu_tanh", "glu", "glu_0"):
        x = torch.cat([x, torch.tensor([-1e4, -100.0])])
    export_and_compare(ACTIVATIONS[name], x)


def test_activations_of_half_precision() -> None:
    x = uniform(4, 6, low=-8, high=8).half()
    export_and_compare(lambda x: tuple(f(x) for f in ACTIVATIONS.values()), x, **HALF)


def test_activations_of_float64() -> None:
    x = uniform(4, 6, low=-8, high=8).double()
    functions = ACTIVATIONS.values()
    export_and_compare(lambda x: tuple(f(x) for f in functions), x, rtol=1e-9, atol=1e-12)


def test_digits_of_small_values_are_kept() -> None:
    x = torch.tensor([-1e-20, -1e-7, 3e-5, -2e-3])
    export_and_compare(lambda x: (F.elu(x), F.celu(x), F.selu(x)), x, rtol=1e-6, atol=0)
    x = torch.tensor([-20.0, -15.0, -10.0])
    export_and_compare(lambda x: (F.softplus(x), -F.logsigmoid(-x)), x, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", [(), (4,), (2, 4), (2, 4, 3), (2, 4, 3, 5)])
@pytest.mark.parametrize("slopes", [1, 4])
def test_prelu(shape: tuple[int, ...], slopes: int) -> None:
    if len(shape) < 2:
        slopes = 1
    module = nn.PReLU(slopes)
    module.weight.data = uniform(slopes, low=0.1, high=0.9, seed=1)
    axes = {"input": {len(shape) - 1: "S"}} if len(shape) > 2 else {}
    export_and_compare(module, uniform(*shape), dynamic_axes=axes)


def test_leaky_relu_whose_slope_depends_on_a_size() -> None:
    def leak(x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(x, 1 / x.shape[0])

    export_and_compare(leak, uniform(4, 3), dynamic_axes={"x0": {0: "S"}}, sizes=[{"S": 9}])


def test_integers() -> None:
    x = torch.arange(-4, 9)
    export_and_compare(lambda x: (F.relu(x), torch.sigmoid(x), F.threshold(x, 3, 1)), x)


# Softmax.


def softmaxes(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    axes = range(x.dim())
    return (
        *(x.softmax(axis) for axis in axes),
        *(x.log_softmax(axis) for axis in axes),
        F.softmin(x, dim=-1),
    )


def test_softmax() -> None:
    x = uniform(3, 4, 5, low=-9, high=9)
    axes = {"x0": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 5, "S": 9}]
    export_and_compare(softmaxes, x, dynamic_axes=axes, sizes=sizes)


def test_softmax_of_half_precision() -> None:
    export_and_compare(softmaxes, uniform(3, 4, 5).half(), **HALF)


def test_softmax_of_float64() -> None:
    export_and_compare(softmaxes, uniform(3, 4, 5).double(), rtol=1e-9, atol=1e-12)


def test_softmax_with_another_type() -> None:
    export_and_compare(
        lambda x: (
            x.softmax(1, dtype=torch.float32),
            x.log_softmax(1, dtype=torch.float32),
            torch.special.softmax(x, 0, dtype=torch.float32),
        ),
        uniform(3, 4).half(),
    )
    export_and_compare(lambda x: x.softmax(1, dtype=torch.float32), torch.arange(6).reshape(2, 3))


def test_softmax_of_rank_zero() -> None:
    export_and_compare(lambda x: (x.softmax(0) + x, x.log_softmax(0) + x), torch.tensor(2.0))


def test_softmax_of_masked_and_large_numbers() -> None:
    x = torch.tensor([[1.0, -math.inf, 2.0], [1e30, 0.0, -1e30], [90.0, 91.0, -90.0]])
    export_and_compare(lambda x: (x.softmax(1), x.log_softmax(1)), x)


def test_softmax_of_a_masked_row_is_not_a_number() -> None:
    x = torch.full((2, 4), -math.inf)
    export_and_compare(lambda x: (x.softmax(1), x.log_softmax(1)), x)


# Dropout.


def test_dropout_in_evaluation_changes_nothing() -> None:
    layers = nn.Sequential(nn.Dropout(0.5), nn.Dropout1d(0.5), nn.AlphaDropout(0.5), nn.Tanh())
    export_and_compare(layers, uniform(2, 3, 4))
    export_and_compare(lambda x: torch.native_dropout(x, 0.5, False), uniform(2, 3))


def test_dropout_that_draws_numbers_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="random"):
        export_and_compare(lambda x: F.dropout(x, 0.5, training=True), uniform(2, 3))
    export_and_compare(lambda x: F.dropout(x, 0.0, training=True) + 1, uniform(2, 3))


def test_softmax_of_nothing() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.softmax(1), x.log_softmax(1), x.log_softmax(0), x[:, :0].log_softmax(1)

    export_and_compare(function, torch.zeros(2, 0, 3))


def test_rrelu_in_training_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="draws random slopes"):
        export(lambda x: F.rrelu(x, training=True), uniform(3))
    export_and_compare(lambda x: F.rrelu(x, 0.25, 0.25, training=True), uniform(3))
