"""Factorizations of whose results PyTorch says no shapes, kept whole while tracing.

They have no rule for tensors without values, so torch's tracer either can't follow them or makes
constants of their sizes. Traced, each is an operator of the library `torchtract` instead; run, it
computes what PyTorch computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["geqrf"]


@torch.library.custom_op("torchtract::geqrf", mutates_args=())
def geqrf(x: Tensor) -> tuple[Tensor, Tensor]:
    """As `torch.geqrf`."""
    packed, tau = torch.geqrf(x)
    return packed, tau


@geqrf.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    least = torch.sym_min(x.shape[-2], x.shape[-1])
    return torch.empty_like(x), x.new_empty([*x.shape[:-2], least])
