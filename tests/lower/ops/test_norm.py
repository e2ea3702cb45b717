"""Normalisations give PyTorch's numbers at every size that their symbols allow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform
from torchtract.errors import UnsupportedOpError

EXACT: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
DOUBLE: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}


def filled(module: nn.Module) -> nn.Module:
    """The module with weights and statistics that a mistake in their use would show."""
    for seed, (name, tensor) in enumerate(module.state_dict().items()):
        if tensor.is_floating_point():
            low = 0.5 if name.endswith("var") else -2.0
            tensor.copy_(uniform(*tensor.shape, low=low, high=3.0, seed=seed))
    return module


@pytest.mark.parametrize("arguments", [{}, {"bias": False}, {"elementwise_affine": False}])
@pytest.mark.parametrize("eps", [1e-5, 1e-1])
def test_layer_norm(arguments: dict[str, Any], eps: float) -> None:
    module = filled(nn.LayerNorm(48, eps=eps, **arguments))
    axes = {"input": {0: "B", 1: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 2, "S": 9}]
    export_and_compare(module, uniform(3, 5, 48), dynamic_axes=axes, sizes=sizes, **EXACT)


def test_layer_norm_of_several_axes() -> None:
    module = filled(nn.LayerNorm((4, 6)))
    sizes = [{"B": 1}, {"B": 7}]
    export_and_compare(module, uniform(3, 4, 6), dynamic_axes={"input": {0: "B"}}, sizes=sizes)
    export_and_compare(module, uniform(4, 6))


def test_layer_norm_far_from_zero() -> None:
    # The mean of squares minus the square of the mean would have no digit left.
    x = uniform(3, 48, low=1000, high=1001)
    export_and_compare(nn.LayerNorm(48), x, rtol=1e-3, atol=1e-3)


def test_layer_norm_of_a_constant() -> None:
    export_and_compare(filled(nn.LayerNorm(8)), torch.full((3, 8), 2.5))


def test_layer_norm_along_a_symbolic_axis() -> None:
    def normalize(x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[1:])

    axes = {"x0": {0: "B", 1: "S"}}
    sizes = [{"B": 1, "S": 2}, {"B": 2, "S": 17}]
    export_and_compare(normalize, uniform(3, 5, 4), dynamic_axes=axes, sizes=sizes)


def test_native_layer_norm() -> None:
    def normalize(x: torch.Tensor, weight: torch.Tensor) -> Any:
        return torch.native_layer_norm(x, [5, 4], weight, None, 1e-5)

    axes = {"x0": {0: "B"}}
    sizes = [{"B": 1}, {"B": 7}]
    x, weight = uniform(3, 5, 4), uniform(5, 4, seed=1)
    export_and_compare(normalize, x, weight, dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("shape", [48, (5, 48)])
@pytest.mark.parametrize("arguments", [{}, {"eps": 1e-2}, {"elementwise_affine": False}])
def test_rms_norm(shape: Any, arguments: dict[str, Any]) -> None:
    module = filled(nn.RMSNorm(shape, **arguments))
    sizes = [{"B": 1}, {"B": 7}]
    x = uniform(3, 5, 48)
    export_and_compare(module, x, dynamic_axes={"x": {0: "B"}}, sizes=sizes, **EXACT)


@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm])
def test_norm_of_halves_and_doubles(kind: type[nn.Module]) -> None:
    x = uniform(3, 5, 48, low=-90, high=90)
    export_and_compare(filled(kind(48)).half(), x.half(), **HALF)
    export_and_compare(filled(kind(48)).double(), x.double(), **DOUBLE)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm(groups: int) -> None:
    module = filled(nn.GroupNorm(groups, 6))
    axes = {"input": {0: "B", 2: "S", 3: "T"}}
    sizes = [{"B": 1, "S": 2, "T": 1}, {"B": 2, "S": 9, "T": 4}]
    export_and_compare(module, uniform(3, 6, 5, 7), dynamic_axes=axes, sizes=sizes)


def test_group_norm_without_weights() -> None:
    export_and_compare(nn.GroupNorm(3, 6, affine=False), uniform(4, 6))


INSTANCE_NORMS: dict[int, type[nn.Module]] = {
    1: nn.InstanceNorm1d,
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}
BATCH_NORMS: dict[int, type[nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
SPATIAL = {1: (13,), 2: (5, 7), 3: (3, 4, 5)}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("spatial", INSTANCE_NORMS)
def test_instance_norm(spatial: int, recorded: bool, affine: bool) -> None:
    module = INSTANCE_NORMS[spatial](4, affine=affine, track_running_stats=recorded)
    axes = {"input": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 2}, {"B": 2, "S": 9}]
    export_and_compare(
        filled(module), uniform(3, 4, *SPATIAL[spatial]), dynamic_axes=axes, sizes=sizes
    )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("spatial", BATCH_NORMS)
def test_batch_norm(spatial: int, recorded: bool, affine: bool) -> None:
    module = BATCH_NORMS[spatial](4, affine=affine, track_running_stats=recorded)
    axes = {"input": {0: "B", 2: "S"}}
    sizes = [{"B": 1, "S": 2}, {"B": 2, "S": 9}]
    export_and_compare(
        filled(module), uniform(3, 4, *SPATIAL[spatial]), dynamic_axes=axes, sizes=sizes
    )


def test_batch_norm_of_features() -> None:
    module = filled(nn.BatchNorm1d(4, eps=0.1))
    sizes = [{"B": 1}, {"B": 7}]
    export_and_compare(module, uniform(3, 4), dynamic_axes={"input": {0: "B"}}, sizes=sizes)


def test_batch_norm_behind_a_convolution() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 3), filled(nn.BatchNorm2d(6)), nn.ReLU())
    sizes = [{"B": 1}, {"B": 2}]
    export_and_compare(module, uniform(3, 4, 9, 11), dynamic_axes={"input": {0: "B"}}, sizes=sizes)


def test_batch_norm_of_halves_and_doubles() -> None:
    x = uniform(3, 4, 5, 7)
    export_and_compare(filled(nn.BatchNorm2d(4)).half(), x.half(), **HALF)
    export_and_compare(filled(nn.BatchNorm2d(4)).double(), x.double(), **DOUBLE)


def test_native_batch_norm() -> None:
    def normalize(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> Any:
        norm = torch.ops.aten._native_batch_norm_legit_no_training
        return norm(x, None, None, mean, variance, 0.1, 1e-5)[0]

    mean, variance = uniform(4, seed=1), uniform(4, low=0.5, seed=2)
    export_and_compare(normalize, uniform(3, 4, 5), mean, variance)


@pytest.mark.parametrize("norm", [F.batch_norm, F.instance_norm])
def test_norm_that_changes_its_statistics_is_refused(norm: Any) -> None:
    def normalize(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        return norm(x, mean, variance, None, None, True)  # type: ignore[no-any-return]

    with pytest.raises(UnsupportedOpError, match="changes the running statistics"):
        export(normalize, uniform(3, 4, 5), torch.zeros(4), torch.ones(4))


def test_normalize() -> None:
    sizes = [{"B": 1}, {"B": 7}]
    export_and_compare(F.normalize, uniform(3, 4, 5), dynamic_axes={"x0": {0: "B"}}, sizes=sizes)


def test_epsilon_of_rms_norm_of_halves_is_that_of_floats() -> None:
    x = uniform(3, 48, low=-1e-2, high=1e-2).half()
    export_and_compare(nn.RMSNorm(48).half(), x, **HALF)


def test_native_group_norm() -> None:
    x, weight, bias = uniform(2, 6, 5), uniform(6, seed=1), uniform(6, seed=2)
    export_and_compare(
        lambda x, w, c: torch.native_group_norm(x, w, c, x.shape[0], 6, x.shape[2], 3, 1e-5),
        *(x, weight, bias),
        dynamic_axes={"x0": {0: "B", 2: "S"}},
        sizes=[{"B": 1, "S": 2}],
    )
