"""Torchaudio's recursive filters kept whole while tracing.

Each output of `torchaudio.functional.lfilter` depends on the ones before it, which a function in
C++ writes one by one. Torch's tracer can't see into it, and makes constants of the sizes. Inside
`whole_recursive_filters` each such call becomes one operator of the library `torchtract` instead,
whatever the length; run, it computes what torchaudio computes. Nothing here imports torchaudio: a
model that filters has done so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

__all__ = ["lfilter", "whole_recursive_filters"]

_FILTERING = "torchaudio.functional.filtering"


@torch.library.custom_op("torchtract::lfilter", mutates_args=())
def lfilter(waveform: Tensor, a_coeffs_normalized: Tensor) -> Tensor:
    """The recursive half of torchaudio's filters: `y[t] = x[t] - a[1] * y[t - 1] - ...`.

    Args:
        waveform: `[batch, filters, samples]`.
        a_coeffs_normalized: `[filters, order + 1]`, the first of each filter 1.

    Returns:
        As the waveform. Outputs before the first sample count as 0.
    """
    loop: Any = sys.modules[_FILTERING]._lfilter_core_loop  # noqa: SLF001  (its only name)
    batch, filters, samples = waveform.shape
    order = a_coeffs_normalized.shape[1] - 1
    padded = waveform.new_zeros(batch, filters, order + samples)
    # Without its C++ code torchaudio writes to the waveform too.
    own = waveform.clone(memory_format=torch.contiguous_format)
    loop(own, a_coeffs_normalized.flip(1).contiguous(), padded)
    return padded[:, :, order:].contiguous()


@lfilter.register_fake
def _(waveform: Tensor, a_coeffs_normalized: Tensor) -> Tensor:  # noqa: ARG001
    return waveform.new_empty(waveform.shape)


@contextmanager
def whole_recursive_filters() -> Iterator[None]:
    """Make each call of a recursive filter one operator of the traced program."""
    recursion = getattr(sys.modules.get(_FILTERING), "DifferentiableIIR", None)
    if recursion is None:  # no torchaudio, or one that filters by other functions
        yield
        return
    with patch.object(recursion, "apply", lfilter):
        yield
