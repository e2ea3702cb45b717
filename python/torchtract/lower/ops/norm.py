"""Normalisations: by statistics of the input, or by recorded ones.

Axes that are normalised together are joined, since tract has one kernel for
`x * rsqrt(mean(square(x)) + eps)` along one axis. It recognises that formula where the axis has
a fixed size, which every version of tract reads; elsewhere its kernel is asked for by name.
"""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, volume

aten = torch.ops.aten


@lowers(aten.layer_norm.default)
@computed_in_float32
def layer_norm(
    b: Builder,
    x: Value,
    normalized_shape: list[Size],
    weight: Value | None,
    bias: Value | None,
    eps: float,
    cudnn_enable: bool,
) -> Value:
    """layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None,
    Tensor? bias=None, float eps=1e-05, bool cudnn_enable=True) -> Tensor
    """
    rows = _rows(b, x, len(normalized_shape))
    y = _standardized(b, rows, [rows.rank - 1], eps)
    return _affine(b, b.reshape(y, x.shape), weight, bias)


@lowers(aten.native_layer_norm.default)
@computed_in_float32
def native_layer_norm(
    b: Builder,
    x: Value,
    normalized_shape: list[Size],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> tuple[Value, Value, Value]:
    """native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight,
    Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)
    """
    rows = _rows(b, x, len(normalized_shape))
    mean, centred = _centred(b, rows, [rows.rank - 1])
    rstd = _rstd(b, centred, [rows.rank - 1], eps)
    y = b.reshape(b.binary("mul", centred, rstd), x.shape)
    statistics = b.results[1].shape
    return _affine(b, y, weight, bias), b.reshape(mean, statistics), b.reshape(rstd, statistics)


@lowers(aten.rms_norm.default)
@computed_in_float32
def rms_norm(
    b: Builder, x: Value, normalized_shape: list[Size], weight: Value | None, eps: float | None
) -> Value:
    """rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None)
    -> Tensor
    """
    rows = _rows(b, x, len(normalized_shape))
    y = _rms_normalized(b, rows, [rows.rank - 1], torch.finfo(x.dtype).eps if eps is None else eps)
    return _affine(b, b.reshape(y, x.shape), weight, None)


@lowers(aten.group_norm.default)
@computed_in_float32
def group_norm(
    b: Builder,
    x: Value,
    num_groups: int,
    weight: Value | None,
    bias: Value | None,
    eps: float,
    cudnn_enabled: bool,
) -> Value:
    """group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None,
    float eps=1e-05, bool cudnn_enabled=True) -> Tensor
    """
    members = volume([x.shape[1] // num_groups, *x.shape[2:]])
    groups = b.reshape(x, [x.shape[0], num_groups, members])
    y = b.reshape(_standardized(b, groups, [2], eps), x.shape)
    return _affine(b, y, _per_channel(b, weight, x.rank), _per_channel(b, bias, x.rank))


@lowers(aten.native_group_norm.default)
@computed_in_float32
def native_group_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    N: Size,  # noqa: N803  (the schema's)
    C: Size,  # noqa: N803  (the schema's)
    HxW: Size,  # noqa: N803  (the schema's)
    group: int,
    eps: float,
) -> tuple[Value, Value, Value]:
    """native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C,
    SymInt HxW, int group, float eps) -> (Tensor, Tensor, Tensor)
    """
    groups = b.reshape(x, [x.shape[0], group, volume([x.shape[1] // group, *x.shape[2:]])])
    mean, centred = _centred(b, groups, [2])
    rstd = _rstd(b, centred, [2], eps)
    y = b.reshape(b.binary("mul", centred, rstd), x.shape)
    y = _affine(b, y, _per_channel(b, weight, x.rank), _per_channel(b, bias, x.rank))
    return y, b.squeeze(mean, [2]), b.squeeze(rstd, [2])


@lowers(aten.instance_norm.default)
@computed_in_float32
def instance_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Value:
    """instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean,
    Tensor? running_var, bool use_input_stats, float momentum, float eps,
    bool cudnn_enabled) -> Tensor
    """
    if not use_input_stats:
        return _by_recorded(b, x, weight, bias, running_mean, running_var, eps)
    if running_mean is not None:
        raise Refusal("use_input_stats=True changes the running statistics, which are no outputs")
    rows = _rows(b, x, x.rank - 2)
    y = b.reshape(_standardized(b, rows, [rows.rank - 1], eps), x.shape)
    return _affine(b, y, _per_channel(b, weight, x.rank), _per_channel(b, bias, x.rank))


@lowers(aten.batch_norm.default)
@computed_in_float32
def batch_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Value:
    """batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean,
    Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor
    """
    if not training:
        return _by_recorded(b, x, weight, bias, running_mean, running_var, eps)
    if running_mean is not None:
        raise Refusal("training=True changes the running statistics, which are no outputs")
    y = _standardized(b, x, [0, *range(2, x.rank)], eps)
    return _affine(b, y, _per_channel(b, weight, x.rank), _per_channel(b, bias, x.rank))


@lowers(aten._native_batch_norm_legit_no_training.default)
@computed_in_float32
def native_batch_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value,
    running_var: Value,
    momentum: float,
    eps: float,
) -> tuple[Value, Value, Value]:
    """_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias,
    Tensor running_mean, Tensor running_var, float momentum, float eps)
    -> (Tensor, Tensor, Tensor)
    """
    y = _by_recorded(b, x, weight, bias, running_mean, running_var, eps)
    nothing = b.constant(torch.empty(0))  # what training would save
    return y, nothing, nothing


def _by_recorded(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    eps: float,
) -> Value:
    """Normalised by recorded statistics, as one product and one sum per element."""
    assert mean is not None  # PyTorch refuses a call without them
    assert variance is not None
    scale = b.emit("rsqrt", b.binary("add", variance, b.scalar(eps, variance.dtype)))
    if weight is not None:
        scale = b.binary("mul", scale, weight)
    shift = b.binary("mul", mean, scale)
    shift = b.emit("neg", shift) if bias is None else b.binary("sub", bias, shift)
    return _affine(b, x, _per_channel(b, scale, x.rank), _per_channel(b, shift, x.rank))


def _rows(b: Builder, x: Value, count: int) -> Value:
    """The tensor with its last axes, so many of them, joined into one."""
    first = x.rank - count
    return b.reshape(x, [*x.shape[:first], volume(x.shape[first:])])


def _standardized(b: Builder, x: Value, axes: list[int], eps: float) -> Value:
    """Shifted and scaled to mean 0 and variance 1 along axes."""
    _, centred = _centred(b, x, axes)
    return _rms_normalized(b, centred, axes, eps)


def _rms_normalized(b: Builder, x: Value, axes: list[int], eps: float) -> Value:
    """Scaled to a mean square of 1 along axes."""
    single = len(axes) == 1 and x.dtype == torch.float32
    if single and not isinstance(x.shape[axes[0]], int):
        return b.emit("tract_core_rms_norm", x, axis=axes[0], eps=eps)
    return b.binary("mul", x, _rstd(b, x, axes, eps))


def _centred(b: Builder, x: Value, axes: list[int]) -> tuple[Value, Value]:
    """The mean along axes, which are kept, and the tensor without it."""
    mean = b.reduce("mean_reduce", x, axes, keepdim=True)
    return mean, b.binary("sub", x, mean)


def _rstd(b: Builder, x: Value, axes: list[int], eps: float) -> Value:
    """`1 / sqrt(mean square + eps)` along axes, which are kept."""
    squares = b.emit("square", x)
    if x.dtype != torch.float64:
        variance = b.reduce("mean_reduce", squares, axes, keepdim=True)
        return b.emit("rsqrt", b.binary("add", variance, b.scalar(eps, x.dtype)))
    # tract takes the mean of squares in float32, of doubles too, so here it gets their sum.
    count = b.scalar(volume([x.shape[axis] for axis in axes]), torch.float64)
    offset = b.binary("mul", count, b.scalar(eps, torch.float64))
    total = b.binary("add", b.reduce("sum_reduce", squares, axes, keepdim=True), offset)
    return b.binary("mul", b.emit("rsqrt", total), b.emit("sqrt", count))


def _affine(b: Builder, x: Value, weight: Value | None, bias: Value | None) -> Value:
    if weight is not None:
        x = b.binary("mul", x, weight)
    return x if bias is None else b.binary("add", x, bias)


def _per_channel(b: Builder, v: Value | None, rank: int) -> Value | None:
    """A value for each channel, shaped for tensors `[N, C, ...]` of that rank."""
    return None if v is None else b.unsqueeze(v, list(range(1, rank - 1)))
