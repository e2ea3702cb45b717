"""Activation functions, softmax and its relatives, and dropout, which is off in evaluation."""

from __future__ import annotations

import math

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.ops.compare import clamped
from torchtract.lower.ops.elementwise import expm1_of, log1p_of
from torchtract.lower.ops.half_precision import computed_in_float32, with_all_digits_of
from torchtract.lower.ops.special import erf_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten

# Piecewise linear.


@lowers(aten.relu.default)
def relu(b: Builder, x: Value) -> Value:
    """relu(Tensor self) -> Tensor"""
    return clamped(b, x, 0, None, x.dtype)


@lowers(aten.relu6.default)
def relu6(b: Builder, x: Value) -> Value:
    """relu6(Tensor self) -> Tensor"""
    return clamped(b, x, 0, 6, x.dtype)


@lowers(aten.hardtanh.default)
def hardtanh(b: Builder, x: Value, min_val: float = -1, max_val: float = 1) -> Value:
    """hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor"""
    return clamped(b, x, min_val, max_val, x.dtype)


@lowers(aten.leaky_relu.default)
@with_all_digits_of("negative_slope")
def leaky_relu(b: Builder, x: Value, negative_slope: float = 0.01) -> Value:
    """leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor"""
    if x.dtype != torch.float64 and isinstance(negative_slope, (int, float)):
        return b.emit("leaky_relu", x, alpha=float(negative_slope))
    below = b.binary("lt", x, b.scalar(0, x.dtype), torch.bool)
    return b.where(below, _times(b, x, negative_slope), x)


@lowers(aten.rrelu.default)
def rrelu(
    b: Builder, x: Value, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Value:
    """rrelu(Tensor self, Scalar lower=0.125, Scalar upper=0.333, bool training=False, ...)"""
    require(not training or lower == upper, "it draws random slopes (training=True)")
    return leaky_relu(b, x=x, negative_slope=(lower + upper) / 2)


@lowers(aten.prelu.default, aten._prelu_kernel.default)
def prelu(b: Builder, x: Value, weight: Value) -> Value:
    """prelu(Tensor self, Tensor weight) -> Tensor"""
    if x.rank == 0:
        weight = b.reshape(weight, [])
    if weight.rank == 1 and x.rank > 2 and weight.shape != (1,):
        # One slope for each channel: axis 1.
        weight = b.reshape(weight, [1, weight.shape[0], *[1] * (x.rank - 2)])
    below = b.binary("lt", x, b.scalar(0, x.dtype), torch.bool)
    return b.where(below, b.binary("mul", x, weight), x)


@lowers(aten.threshold.default)
def threshold(b: Builder, x: Value, threshold: float, value: float) -> Value:
    """threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor"""
    below = b.binary("le", x, b.scalar(threshold, x.dtype), torch.bool)
    return b.where(below, b.scalar(value, x.dtype), x)


@lowers(aten.hardsigmoid.default)
@computed_in_float32
def hardsigmoid(b: Builder, x: Value) -> Value:
    """hardsigmoid(Tensor self) -> Tensor"""
    raised = b.binary("add", x, b.scalar(3, x.dtype))
    return b.binary("mul", clamped(b, raised, 0, 6, x.dtype), b.scalar(1 / 6, x.dtype))


@lowers(aten.hardswish.default)
@computed_in_float32
def hardswish(b: Builder, x: Value) -> Value:
    """hardswish(Tensor self) -> Tensor"""
    if x.dtype == torch.float64:
        return b.binary("mul", x, hardsigmoid(b, x=x))
    return b.emit("tract_core_hard_swish", x)


@lowers(aten.hardshrink.default)
def hardshrink(b: Builder, x: Value, lambd: float = 0.5) -> Value:
    """hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor"""
    inside = b.binary("le", b.emit("abs", x), b.scalar(lambd, x.dtype), torch.bool)
    return b.where(inside, b.scalar(0, x.dtype), x)


@lowers(aten.softshrink.default)
def softshrink(b: Builder, x: Value, lambd: float = 0.5) -> Value:
    """softshrink(Tensor self, Scalar lambd=0.5) -> Tensor"""
    return b.binary("sub", x, clamped(b, x, -lambd, lambd, x.dtype))


# Smooth.


@lowers(aten.sigmoid.default, aten.special_expit.default)
def sigmoid(b: Builder, x: Value) -> Value:
    """sigmoid(Tensor self) -> Tensor"""
    return _sigmoid(b, b.cast(x, b.result.dtype))


def _sigmoid(b: Builder, x: Value) -> Value:
    if x.dtype != torch.float64:
        return b.emit("sigmoid", x)
    decayed = b.emit("exp", b.emit("neg", x))
    return b.emit("recip", b.binary("add", decayed, b.scalar(1, x.dtype)))


@lowers(aten.silu.default)
def silu(b: Builder, x: Value) -> Value:
    """silu(Tensor self) -> Tensor"""
    # tract makes one operation of this.
    return b.binary("mul", x, sigmoid(b, x))


@lowers(aten.gelu.default)
@computed_in_float32
def gelu(b: Builder, x: Value, approximate: str = "none") -> Value:
    """gelu(Tensor self, *, str approximate='none') -> Tensor"""
    # tract makes one operation of either formula, as long as it is written so.
    if approximate == "none":
        part = b.binary("mul", x, b.scalar(math.sqrt(0.5), x.dtype))
        inner = erf_of(b, part) if x.dtype == torch.float64 else b.emit("tract_core_erf", part)
    else:
        cube = b.binary("pow", x, b.scalar(3, x.dtype))
        inner = b.binary("add", x, b.binary("mul", cube, b.scalar(0.044715, x.dtype)))
        inner = b.binary("mul", inner, b.scalar(math.sqrt(2 / math.pi), x.dtype))
        inner = b.emit("tanh", inner)
    half = b.binary("mul", x, b.scalar(0.5, x.dtype))
    return b.binary("mul", half, b.binary("add", inner, b.scalar(1, x.dtype)))


@lowers(aten.elu.default)
@computed_in_float32
def elu(b: Builder, x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    """elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor"""
    negative = expm1_of(b, _times(b, x, input_scale))
    below = b.binary("lt", x, b.scalar(0, x.dtype), torch.bool)
    return b.where(below, _times(b, negative, alpha * scale), _times(b, x, scale))


@lowers(aten.selu.default)
@computed_in_float32
def selu(b: Builder, x: Value) -> Value:
    """selu(Tensor self) -> Tensor"""
    return elu(b, x=x, alpha=1.6732632423543772, scale=1.0507009873554805)


@lowers(aten.celu.default)
@computed_in_float32
def celu(b: Builder, x: Value, alpha: float = 1.0) -> Value:
    """celu(Tensor self, Scalar alpha=1.) -> Tensor"""
    return elu(b, x=x, alpha=alpha, input_scale=1 / alpha)


@lowers(aten.softplus.default)
@computed_in_float32
def softplus(b: Builder, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    """softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor"""
    scaled = _times(b, x, beta)
    smooth = _times(b, log1p_of(b, b.emit("exp", scaled)), 1 / beta)
    above = b.binary("gt", scaled, b.scalar(threshold, x.dtype), torch.bool)
    return b.where(above, x, smooth)


@lowers(aten.log_sigmoid.default)
@computed_in_float32
def log_sigmoid(b: Builder, x: Value) -> Value:
    """log_sigmoid(Tensor self) -> Tensor"""
    decayed = b.emit("exp", b.emit("neg", b.emit("abs", x)))
    return b.binary("sub", clamped(b, x, None, 0, x.dtype), log1p_of(b, decayed))


@lowers(aten.mish.default)
@computed_in_float32
def mish(b: Builder, x: Value) -> Value:
    """mish(Tensor self) -> Tensor"""
    # tanh(softplus(x)) is n / (n + 2) for n = e * (e + 2) and e = exp(x), and 1 from 20 on.
    e = b.emit("exp", clamped(b, x, None, 20, x.dtype))
    n = b.binary("mul", e, b.binary("add", e, b.scalar(2, x.dtype)))
    return b.binary("mul", x, b.binary("div", n, b.binary("add", n, b.scalar(2, x.dtype))))


@lowers(aten.glu.default)
@computed_in_float32
def glu(b: Builder, x: Value, dim: int = -1) -> Value:
    """glu(Tensor self, int dim=-1) -> Tensor"""
    dim %= x.rank
    half = b.result.shape[dim]
    gate = _sigmoid(b, b.slice(x, dim, half, x.shape[dim]))
    return b.binary("mul", b.slice(x, dim, 0, half), gate)


def _times(b: Builder, x: Value, factor: float) -> Value:
    return x if factor == 1 else b.binary("mul", x, b.scalar(factor, x.dtype))


# Softmax.


@lowers(aten.softmax.int, aten.special_softmax.default)
def softmax(b: Builder, x: Value, dim: int, dtype: torch.dtype | None = None) -> Value:
    """softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor"""
    x = b.cast(x, b.result.dtype)
    if x.rank == 0:
        return b.scalar(1, x.dtype)
    return b.emit("softmax", x, axes=[dim % x.rank])


@lowers(aten._softmax.default)
def softmax_forward(b: Builder, x: Value, dim: int, half_to_float: bool) -> Value:
    """_softmax(Tensor self, int dim, bool half_to_float) -> Tensor"""
    return softmax(b, x, dim)


@lowers(aten.log_softmax.int, aten.special_log_softmax.default)
@computed_in_float32
def log_softmax(b: Builder, x: Value, dim: int, dtype: torch.dtype | None = None) -> Value:
    """log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor"""
    x = b.cast(x, torch.promote_types(b.result.dtype, torch.float32))
    if x.rank == 0:
        return b.scalar(0, x.dtype)
    if 0 in x.shape:  # tract's reductions don't expect it
        return b.full(0, x.dtype, x.shape)
    axes = [dim % x.rank]
    below = b.binary("sub", x, b.reduce("max_reduce", x, axes, keepdim=True))
    total = b.reduce("sum_reduce", b.emit("exp", below), axes, keepdim=True)
    return b.binary("sub", below, b.emit("log", total))


@lowers(aten._log_softmax.default)
@computed_in_float32
def log_softmax_forward(b: Builder, x: Value, dim: int, half_to_float: bool) -> Value:
    """_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor"""
    return log_softmax(b, x=x, dim=dim)
