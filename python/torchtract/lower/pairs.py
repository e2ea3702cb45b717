"""Complex numbers as two tensors in the graph, and as pairs on a last axis outside of it."""

from __future__ import annotations

import dataclasses

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.value import Fact, Value

__all__ = ["complex_of", "fact_of_pairs", "from_pairs", "to_pairs"]


def complex_of(real: Value, imag: Value) -> Value:
    """Complex numbers of these parts."""
    return dataclasses.replace(real, dtype=real.dtype.to_complex(), imag=imag)


def fact_of_pairs(fact: Fact) -> Fact:
    """What tract has for an input or an output of complex numbers; the fact itself for others.

    Raises:
        Refusal: numpy has no such numbers.
    """
    require(fact.dtype != torch.complex32, "numpy has no complex32; make it complex64")
    if not fact.dtype.is_complex:
        return fact
    return fact.of(dtype=fact.dtype.to_real(), shape=[*fact.shape, 2])


def from_pairs(b: Builder, x: Value) -> Value:
    """Complex numbers of real ones whose last axis has the real and the imaginary part."""
    last = x.rank - 1
    return complex_of(*(b.squeeze(b.slice(x, last, i, i + 1), [last]) for i in range(2)))


def to_pairs(b: Builder, real: Value, imag: Value) -> Value:
    """Parts of one shape as the two elements of a new last axis."""
    return b.concat([b.unsqueeze(part, [part.rank]) for part in (real, imag)], real.rank)
