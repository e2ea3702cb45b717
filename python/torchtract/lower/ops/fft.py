"""Fourier transforms over axes of any size, and the short-time transform of signals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import sympy
import torch
from torch.utils._sympy.functions import FloorDiv

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.complex_numbers import complex_of, parts_of, view_as_complex, view_as_real
from torchtract.lower.ops.pad import padded
from torchtract.lower.ops.shape import every, windows
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value, size_of, volume

aten = torch.ops.aten


@lowers(aten._fft_c2c.default, of_complex=True)
def fft_c2c(b: Builder, x: Value, dim: list[int], normalization: int, forward: bool) -> Value:
    """_fft_c2c(Tensor self, SymInt[] dim, int normalization, bool forward) -> Tensor"""
    return _transformed(b, x, dim, normalization, forward)


@lowers(aten._fft_r2c.default, of_complex=True)
def fft_r2c(b: Builder, x: Value, dim: list[int], normalization: int, onesided: bool) -> Value:
    """_fft_r2c(Tensor self, int[] dim, int normalization, bool onesided) -> Tensor"""
    spectrum = _transformed(b, x, dim, normalization, True)
    return _one_side(b, spectrum, dim[-1] % x.rank) if onesided else spectrum


@lowers(aten._fft_c2r.default, of_complex=True)
def fft_c2r(b: Builder, x: Value, dim: list[int], normalization: int, last_dim_size: Size) -> Value:
    """_fft_c2r(Tensor self, int[] dim, int normalization, SymInt last_dim_size) -> Tensor"""
    *others, last = (d % x.rank for d in dim)
    # The side that is left out mirrors the other, once the other axes are back in time.
    if others:
        x = _transformed(b, x, others, 0, False)
    real, imag = parts_of(b, x)
    end = size_of(FloorDiv(sympy.sympify(last_dim_size) + 1, 2))
    whole = []
    for part, sign in ((real, False), (imag, True)):
        mirrored = every(b, part, last, size_of(sympy.sympify(end) - 1), 0, -1)
        mirrored = b.emit("neg", mirrored) if sign else mirrored
        whole.append(_with_size(b, b.concat([part, mirrored], last), last, last_dim_size))
    signal = _transformed(b, complex_of(*whole), [last], 0, False)
    lengths = [b.result.shape[axis] for axis in (*others, last)]
    return _normalized(b, parts_of(b, signal)[0], lengths, normalization)


def _with_size(b: Builder, x: Value, axis: int, size: Size) -> Value:
    """The same tensor, of whose axis tract is told in this way how long it is."""
    if x.shape[axis] == size:
        return x
    like = x.of(shape=[*x.shape[:axis], size, *x.shape[axis + 1 :]])
    return b.emit("tract_core_dyn_slice", x, 0, size, size, axis, like=like)


def _transformed(
    b: Builder, x: Value, dim: Sequence[int], normalization: int, forward: bool
) -> Value:
    """Complex numbers transformed along axes, scaled as PyTorch's numbers for that say."""
    stacked = view_as_real(b, x)
    for axis in dim:
        stacked = b.emit("tract_core_fft", stacked, axis=axis % x.rank, inverse=not forward)
    sizes = [x.shape[axis] for axis in dim]
    return view_as_complex(b, _normalized(b, stacked, sizes, normalization))


def _normalized(b: Builder, x: Value, sizes: Sequence[Size], normalization: int) -> Value:
    """Divided by the root (1) or by all (2) of the number of elements that were transformed."""
    count = volume(sizes)
    if normalization == 0:
        return x
    if isinstance(count, int):
        factor = 1 / (math.sqrt(count) if normalization == 1 else count)
        return b.binary("mul", x, b.scalar(factor, x.dtype))
    divisor = b.scalar(count, x.dtype)
    return b.binary("div", x, b.emit("sqrt", divisor) if normalization == 1 else divisor)


def _one_side(b: Builder, spectrum: Value, axis: int) -> Value:
    end = size_of(FloorDiv(sympy.sympify(spectrum.shape[axis]), 2) + 1)
    parts = (b.slice(part, axis, 0, end) for part in parts_of(b, spectrum))
    return complex_of(*parts)


# Spectrograms.


@lowers(aten.stft.default)
@lowers(aten.stft.default, of_complex=True)
def stft(
    b: Builder,
    x: Value,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Value | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Value:
    """stft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, ...) -> Tensor"""
    require(not x.dtype.is_complex, "windows of complex signals have no lowering")
    count = b.result.shape[-1 if b.result.dtype.is_complex else -2]
    hop, axis = hop_length or n_fft // 4, x.rank - 1
    window = _window(b, x, n_fft, win_length, window)
    if window is None or window.data is not None:
        stacked = view_as_real(b, x)
        like = x.of(shape=[*x.shape[:-1], count, n_fft, 2])
        stacked = b.emit("tract_core_stft", stacked, axis, n_fft, hop, window=window, like=like)
    else:  # tract's own takes a constant
        frames = b.binary("mul", windows(b, x, axis, n_fft, hop, count), window)
        stacked = b.emit("tract_core_fft", view_as_real(b, frames), axis + 1, inverse=False)
    stacked = _normalized(b, stacked, [n_fft], int(normalized))
    if onesided is not False:
        stacked = b.slice(stacked, axis + 1, 0, n_fft // 2 + 1)
    stacked = b.transpose(stacked, [*range(axis), axis + 1, axis, axis + 2])
    return view_as_complex(b, stacked) if b.result.dtype.is_complex else stacked


def _window(
    b: Builder, x: Value, n_fft: int, win_length: int | None, window: Value | None
) -> Value | None:
    """The window, by default ones, in the middle of `n_fft` zeros; or None if all are ones."""
    if window is None and win_length in (None, n_fft):
        return None
    data = torch.ones(win_length or n_fft, dtype=x.dtype) if window is None else window.data
    if data is not None and not data.is_complex():
        missing = n_fft - len(data)
        padding = (missing // 2, missing - missing // 2)
        return b.constant(torch.nn.functional.pad(data.to(x.dtype), padding))
    assert window is not None
    require(not window.dtype.is_complex, "complex windows have no lowering")
    missing = n_fft - static_int(window.shape[0], "the window's length")
    return padded(b, window, [(missing // 2, missing - missing // 2)])
