"""Paddings: constant, reflected, replicated and circular."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.registry import lowers
from torchtract.lower.value import Size, Value

__all__ = ["padded"]

aten = torch.ops.aten

#: What to add at both ends of each axis of a tensor. Negative: what to take away.
Pads = list[tuple[Size, Size]]

#: PyTorch's names beside NNEF's.
_BORDERS = {"reflect": "reflect", "replicate": "replicated"}


@lowers(aten.pad.default)
def pad(b: Builder, x: Value, pad: list[Size], mode: str, value: float | None) -> Value:
    """pad(Tensor self, SymInt[] pad, str mode="constant", float? value=None) -> Tensor"""
    if mode == "constant":
        return constant_pad_nd(b, x, pad, value or 0)
    if mode == "circular":
        return _circular(b, x, _per_axis(x, pad))
    return _mirrored(b, x, pad, _BORDERS[mode])


@lowers(aten.constant_pad_nd.default)
def constant_pad_nd(b: Builder, x: Value, pad: list[Size], value: float) -> Value:
    """constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor"""
    pads = _per_axis(x, pad)
    x = _cropped(b, x, pads)
    pads = [(_added(begin), _added(end)) for begin, end in pads]
    static = all(isinstance(p, int) for pair in pads for p in pair)
    if static and _is_float32(value) and x.dtype in _PADDED_BY_TRACT:
        return padded(b, x, pads, value=float(value))
    for axis, (begin, end) in enumerate(pads):
        x = _between_constants(b, x, axis, begin, end, value)
    return x
