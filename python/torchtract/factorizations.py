"""Factorizations of whose results PyTorch says no shapes, kept whole while tracing.

They have no rule for tensors without values, so torch's tracer either can't follow them or makes
constants of their sizes. Traced, each is an operator of the library `torchtract` instead; run, it
computes what PyTorch computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["geqrf", "lstsq"]


@torch.library.custom_op("torchtract::geqrf", mutates_args=())
def geqrf(x: Tensor) -> tuple[Tensor, Tensor]:
    """As `torch.geqrf`."""
    packed, tau = torch.geqrf(x)
    return packed, tau


@geqrf.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    least = torch.sym_min(x.shape[-2], x.shape[-1])
    return torch.empty_like(x), x.new_empty([*x.shape[:-2], least])


@torch.library.custom_op("torchtract::lstsq", mutates_args=())
def lstsq(
    x: Tensor, y: Tensor, rcond: float | None, driver: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `torch.linalg.lstsq` for matrices `y`."""
    solution, residuals, rank, values = torch.linalg.lstsq(x, y, rcond, driver=driver)
    return solution, residuals, rank, values


@lstsq.register_fake
def _(
    x: Tensor,
    y: Tensor,
    rcond: float | None,  # noqa: ARG001  (changes no shape)
    driver: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Residuals are said as of matrices of full rank; else PyTorch leaves them out."""
    rows, columns = x.shape[-2:]
    batch = torch.broadcast_tensors(x[..., :1, :1], y[..., :1, :1])[0].shape[:-2]
    solution = x.new_empty([*batch, columns, y.shape[-1]])
    known = driver != "gelsy" and rows > columns
    residuals = x.new_empty([*batch, y.shape[-1]] if known else [0])
    rank = x.new_empty([0] if driver == "gels" else x.shape[:-2], dtype=torch.int64)
    least = torch.sym_min(rows, columns)
    values = x.new_empty([*x.shape[:-2], least] if driver in ("gelss", "gelsd") else [0])
    return solution, residuals, rank, values
