"""Recursive filters as loops over time, whose state is the last outputs."""

from __future__ import annotations

import torch

from torchtract import recursive_filters  # noqa: F401  (defines torch.ops.torchtract.lfilter)
from torchtract.lower.builder import Builder
from torchtract.lower.checks import static_int
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value


@lowers(torch.ops.torchtract.lfilter.default)
@computed_in_float32
def lfilter(b: Builder, waveform: Value, a_coeffs_normalized: Value) -> Value:
    """lfilter(Tensor waveform, Tensor a_coeffs_normalized) -> Tensor"""
    order = static_int(a_coeffs_normalized.shape[1], "a filter's number of coefficients") - 1
    if order == 0 or 0 in waveform.shape:  # tract takes no loop of a fixed number of no steps
        return waveform
    a = b.unsqueeze(a_coeffs_normalized, [0])
    # One more output than a first-order filter needs: tract fails on a state that is not read,
    # and folds products with coefficients of 0. The oldest is read in any case, to be moved.
    kept = max(order, 2)
    (y,) = b.emit_many(
        "tract_core_scan",
        results=[waveform],
        outputs_as_list=True,
        body=_step(b, order, kept),
        scan=[("x", waveform, 2, 1)],
        full=[(f"a{k}", b.slice(a, 2, k, k + 1)) for k in range(1, order + 1)],
        state=[("y", b.full(0, waveform.dtype, [*waveform.shape[:2], kept]), "y_next")],
        output=[("y0", "full", 2, 1)],
    )
    return y


def _step(b: Builder, order: int, kept: int) -> str:
    """The fragment that makes the output `y0` of x and the outputs before it, `y` [B, C, kept].

    It begins at the oldest, as torchaudio does: what is rounded otherwise grows in a filter that
    is hardly stable.
    """
    body, last = [], "x"
    for k in range(order, 0, -1):
        body += [f"y{k} = {_slice(kept - k, kept - k + 1)}"]
        body += [f"x{k - 1} = sub({last}, mul(y{k}, a{k}))"]
        last = f"x{k - 1}"
    body += [f"y0 = {last}", f"y_next = concat([{_slice(1, kept)}, y0], axis = 2)"]
    given = ["x", "y", *(f"a{k}" for k in range(1, order + 1))]
    return b.fragment_of("lfilter_step", given, ["y0", "y_next"], body)


def _slice(begin: int, end: int) -> str:
    return f"slice(y, axes = [2], begin = [{begin}], end = [{end}])"
