"""Random operators, on tract's generator of uniform and normal numbers, where that is asked for."""

from __future__ import annotations

import math
from typing import Any

import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import Refusal, require, static_int
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value

aten = torch.ops.aten


def _drawn(b: Builder, shape: Any, dist: str = "uniform") -> Value:
    """Numbers from 0 to below 1, or of mean 0 and deviation 1, in float32."""
    if not b.random:
        raise Refusal(
            "it is random; make the noise an input of the module, "
            "or export with TractNNEF(random=True, check_io=False)"
        )
    like = b.result.of(dtype=torch.float32, shape=shape)
    return b.emit(
        "tract_onnx_random",
        datum_type="f32",
        shape=list(like.shape),
        dist=dist,
        parameters=[0.0, 1.0],
        like=like,
    )


def _uniform(b: Builder) -> Value:
    return _drawn(b, b.result.shape)


def _affine(b: Builder, x: Value, scale: Operand, offset: Operand) -> Value:
    """`x * scale + offset` in the type of the result."""
    dtype = b.result.dtype
    scaled = b.binary("mul", b.cast(x, dtype), b.tensor(scale, dtype))
    return b.binary("add", scaled, b.tensor(offset, dtype))


def _exponential(b: Builder, shape: Any) -> Value:
    """Numbers of the exponential distribution with rate 1: -log(1 - u), and u is below 1."""
    u = _drawn(b, shape)
    return b.emit("neg", b.emit("log", b.binary("sub", b.scalar(1, u.dtype), u)))


# Uniform.


@lowers(aten.rand.default)
def rand(b: Builder, size: list[Size], dtype: Any = None) -> Value:
    """rand(SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return b.cast(_uniform(b), b.result.dtype)


@lowers(aten.rand_like.default)
def rand_like(b: Builder, x: Value, dtype: Any = None) -> Value:
    """rand_like(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return b.cast(_uniform(b), b.result.dtype)


@lowers(aten.uniform.default)
def uniform(b: Builder, x: Value, from_: float = 0, to: float = 1) -> Value:
    """uniform(Tensor self, float from=0, float to=1) -> Tensor"""
    return _affine(b, _uniform(b), to - from_, from_)


def _integers(b: Builder, low: Size, high: Size) -> Value:
    low, high = static_int(low, "the least number"), static_int(high, "the bound")
    require(high - low <= 2**24, "tract draws no more than 2**24 different numbers")
    u = _uniform(b)
    steps = b.emit("floor", b.binary("mul", u, b.scalar(high - low, u.dtype)))
    steps = b.binary("min", steps, b.scalar(high - low - 1, u.dtype))
    return _affine(b, b.cast(steps, b.result.dtype), 1, low)


@lowers(aten.randint.default)
def randint(b: Builder, high: Size, size: list[Size], dtype: Any = None) -> Value:
    """randint(SymInt high, SymInt[] size, *, ScalarType? dtype=long) -> Tensor"""
    return _integers(b, 0, high)


@lowers(aten.randint.low)
def randint_from(b: Builder, low: Size, high: Size, size: list[Size], dtype: Any = None) -> Value:
    """randint.low(SymInt low, SymInt high, SymInt[] size, *, ScalarType? dtype=long) -> Tensor"""
    return _integers(b, low, high)


@lowers(aten.randint_like.default)
def randint_like(b: Builder, x: Value, high: Size, dtype: Any = None) -> Value:
    """randint_like(Tensor self, SymInt high, *, ScalarType? dtype=None) -> Tensor"""
    return _integers(b, 0, high)


@lowers(aten.randint_like.low_dtype)
def randint_like_from(b: Builder, x: Value, low: Size, high: Size, dtype: Any = None) -> Value:
    """randint_like.low_dtype(Tensor self, SymInt low, SymInt high, *, ...) -> Tensor"""
    return _integers(b, low, high)


# Normal.


@lowers(aten.randn.default)
def randn(b: Builder, size: list[Size], dtype: Any = None) -> Value:
    """randn(SymInt[] size, *, ScalarType? dtype=None) -> Tensor"""
    return _normal(b, 0, 1)


@lowers(aten.randn_like.default)
def randn_like(b: Builder, x: Value, dtype: Any = None) -> Value:
    """randn_like(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return _normal(b, 0, 1)


def _normal(b: Builder, mean: Operand, std: Operand) -> Value:
    return _affine(b, _drawn(b, b.result.shape, "normal"), std, mean)


@lowers(aten.normal.Tensor_Tensor, aten.normal.Tensor_float, aten.normal.float_Tensor)
def normal(b: Builder, mean: Operand, std: Operand = 1) -> Value:
    """normal.Tensor_Tensor(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor"""
    return _normal(b, mean, std)


@lowers(aten.normal.float_float)
def normal_of_size(
    b: Builder, mean: float, std: float, size: list[Size], dtype: Any = None
) -> Value:
    """normal.float_float(float mean, float std, SymInt[] size, *, ...) -> Tensor"""
    return _normal(b, mean, std)


@lowers(aten.normal_functional.default)
def normal_functional(b: Builder, x: Value, mean: float = 0, std: float = 1) -> Value:
    """normal_functional(Tensor self, float mean=0, float std=1) -> Tensor"""
    return _normal(b, mean, std)


@lowers(aten.log_normal.default)
def log_normal(b: Builder, x: Value, mean: float = 1, std: float = 2) -> Value:
    """log_normal(Tensor self, float mean=1, float std=2) -> Tensor"""
    return b.emit("exp", _normal(b, mean, std))


# Made of uniform numbers.


@lowers(aten.bernoulli.default)
def bernoulli(b: Builder, x: Value) -> Value:
    """bernoulli(Tensor self, *, Generator? generator=None) -> Tensor"""
    u = _uniform(b)
    return b.cast(b.binary("lt", u, b.cast(x, u.dtype), torch.bool), b.result.dtype)


@lowers(aten.bernoulli.p)
def bernoulli_p(b: Builder, x: Value, p: float) -> Value:
    """bernoulli.p(Tensor self, float p, *, Generator? generator=None) -> Tensor"""
    return bernoulli(b, b.scalar(p, torch.float32))


@lowers(aten.exponential.default)
def exponential(b: Builder, x: Value, lambd: float = 1) -> Value:
    """exponential(Tensor self, float lambd=1, *, Generator? generator=None) -> Tensor"""
    return _affine(b, _exponential(b, b.result.shape), 1 / lambd, 0)


@lowers(aten.geometric.default)
def geometric(b: Builder, x: Value, p: float) -> Value:
    """geometric(Tensor self, float p, *, Generator? generator=None) -> Tensor"""
    waits = _exponential(b, b.result.shape)
    scaled = b.binary("div", waits, b.scalar(-math.log1p(-p), waits.dtype))
    tries = b.binary("max", b.emit("ceil", scaled), b.scalar(1, scaled.dtype))
    return b.cast(tries, b.result.dtype)


@lowers(aten.cauchy.default)
def cauchy(b: Builder, x: Value, median: float = 0, sigma: float = 1) -> Value:
    """cauchy(Tensor self, float median=0, float sigma=1) -> Tensor"""
    u = _uniform(b)
    angle = b.binary("mul", b.binary("sub", u, b.scalar(0.5, u.dtype)), b.scalar(math.pi, u.dtype))
    return _affine(b, b.emit("tan", angle), sigma, median)


@lowers(aten.native_dropout.default)
def native_dropout(b: Builder, x: Value, p: float, train: bool | None) -> tuple[Value, Value]:
    """native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)"""
    if train is False or p == 0:
        return x, b.full(True, torch.bool, x.shape)
    u = _drawn(b, x.shape)
    kept = b.binary("ge", u, b.scalar(p, u.dtype), torch.bool)
    scaled = b.binary("mul", x, b.scalar(0 if p == 1 else 1 / (1 - p), x.dtype))
    return b.where(kept, scaled, b.scalar(0, x.dtype)), kept


@lowers(aten.dropout.default)
def dropout(b: Builder, x: Value, p: float, train: bool) -> Value:
    """dropout(Tensor input, float p, bool train) -> Tensor"""
    return native_dropout(b, x, p, train)[0]


@lowers(aten.feature_dropout.default)
@lowers(aten.alpha_dropout.default, aten.feature_alpha_dropout.default)
def feature_dropout(b: Builder, x: Value, p: float, train: bool) -> Value:
    """feature_dropout(Tensor input, float p, bool train) -> Tensor"""
    require(not train or p == 0, "it draws random numbers (train=True)")
    return x


# Orders.


@lowers(aten.randperm.default)
def randperm(b: Builder, n: Size, dtype: Any = None) -> Value:
    """randperm(SymInt n, *, ScalarType? dtype=long) -> Tensor"""
    positions = _largest(b, _uniform(b), static_int(n, "how many there are"))
    return b.cast(positions, b.result.dtype)


@lowers(aten.multinomial.default)
def multinomial(b: Builder, x: Value, num_samples: Size, replacement: bool = False) -> Value:
    """multinomial(Tensor self, SymInt num_samples, bool replacement=False, *, ...) -> Tensor"""
    # Of weights divided by numbers of the exponential distribution, the k largest are drawn
    # without replacement (Efraimidis and Spirakis 2006); for each draw with it, the largest.
    count = static_int(num_samples, "the number of samples")
    shape = (*x.shape[:-1], count, x.shape[-1]) if replacement else x.shape
    weights = b.cast(b.unsqueeze(x, [x.rank - 1]) if replacement else x, torch.float32)
    keys = b.binary("div", weights, _exponential(b, shape))
    if not replacement:
        return _largest(b, keys, count)
    return b.squeeze(_largest(b, keys, 1), [keys.rank - 1])


def _largest(b: Builder, keys: Value, k: int) -> Value:
    """Positions along the last axis of the k largest."""
    like = keys.of(shape=(*keys.shape[:-1], k))
    results = [like, like.of(dtype=torch.int64)]
    return b.emit_many("tract_core_topk", keys, k, keys.rank - 1, True, results=results)[1]
