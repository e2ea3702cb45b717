"""Functions of matrices whose C++ code asks about values or sizes, said by others that don't.

Each gives NotImplemented for the calls that PyTorch's own code can trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import SymInt, Tensor

from torchtract.factorizations import geqrf, lstsq

__all__ = ["MATRIX_CALLS"]

#: Matrix norms made of singular values.
_SPECTRAL = (2, -2, "nuc")


def _cov(
    x: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Any:
    rows = x if x.dim() == 2 else x.reshape(1, -1)
    count, length = list[Any](rows.shape)
    if x.dim() > 2 or isinstance(count, SymInt):  # one row gives a number, more give a matrix
        return NotImplemented
    given = [weights for weights in (fweights, aweights) if weights is not None]
    if not given:
        total = torch.full((), length)
        centred = rows - rows.sum(1, keepdim=True) / total
        return _divided(centred @ centred.mH, total - correction)
    weights = given[0] * given[-1] if len(given) == 2 else given[0]
    total = weights.sum()
    degrees = total - correction
    if aweights is not None and correction != 0:
        degrees = total - correction * (weights * aweights).sum() / total
    centred = rows - (rows * weights).sum(1, keepdim=True) / total
    return _divided(centred @ (centred * weights).mH, degrees)


def _divided(products: Tensor, degrees: Tensor) -> Tensor:
    """PyTorch counts no less than zero degrees of freedom."""
    result = products / torch.where(degrees <= 0, 0, degrees)
    return result[0, 0] if result.shape[0] == 1 else result


def _corrcoef(x: Tensor) -> Any:
    result = _cov(x)
    if result is NotImplemented or result.dim() == 0:
        return result if result is NotImplemented else result / result
    spread = result.diagonal().real.sqrt()
    result = result / spread[:, None] / spread
    if result.is_complex():
        return torch.complex(_clipped(result.real), _clipped(result.imag))
    return _clipped(result)


def _clipped(x: Tensor) -> Tensor:
    return torch.where(x.abs() > 1, x.sign(), x)  # NaN stays


def _matrix_norm(
    x: Tensor,
    ord: Any = "fro",  # noqa: A002  (PyTorch's name)
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
    out: Tensor | None = None,
) -> Any:
    symbolic = any(isinstance(size, SymInt) for size in x.shape)
    if ord not in _SPECTRAL or not symbolic or out is not None:
        return NotImplemented
    values = torch.linalg.svdvals(x.to(dtype or x.dtype).movedim(tuple(dim), (-2, -1)))
    norm = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
    for axis in sorted(d % x.dim() for d in dim) if keepdim else ():
        norm = norm.unsqueeze(axis)
    return norm


def _norm(
    x: Tensor,
    ord: Any = None,  # noqa: A002
    dim: Any = None,
    keepdim: bool = False,
    **options: Any,
) -> Any:
    axes = tuple(range(x.dim())) if dim is None else dim
    of_matrices = ord in _SPECTRAL and isinstance(axes, (tuple, list)) and len(axes) == 2
    return _matrix_norm(x, ord, axes, keepdim, **options) if of_matrices else NotImplemented


def _nuclear_norm(
    x: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, **options: Any
) -> Any:
    return _norm(x, p, dim, keepdim, **options) if p == "nuc" else NotImplemented


def _geqrf(input: Tensor, *, out: Any = None) -> Any:  # noqa: A002  (PyTorch's name)
    return NotImplemented if out is not None else torch.return_types.geqrf(geqrf(input))


def _lstsq(
    input: Tensor,  # noqa: A002
    b: Tensor,
    rcond: float | None = None,
    *,
    driver: str | None = None,
    out: Any = None,
) -> Any:
    vectors = b.dim() == 1 or (input.dim() - 1 == b.dim() and input.shape[:-1] == b.shape)
    right = b.unsqueeze(-1) if vectors else b
    if out is not None or input.dim() < 2 or right.dim() < 2:
        return NotImplemented
    solution, *more = lstsq(input, right, rcond, driver or "gelsy")
    if vectors:
        solution = solution.squeeze(-1)
    kind: Any = torch.return_types
    return kind.linalg_lstsq((solution, *more))


#: What stands for each function while tracing.
MATRIX_CALLS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.cov: _cov,
    torch.Tensor.cov: _cov,
    torch.corrcoef: _corrcoef,
    torch.Tensor.corrcoef: _corrcoef,
    torch.linalg.matrix_norm: _matrix_norm,
    torch.linalg.norm: _norm,
    torch.norm: _nuclear_norm,
    torch.Tensor.norm: _nuclear_norm,
    torch.linalg.lstsq: _lstsq,
    torch.geqrf: _geqrf,
    torch.Tensor.geqrf: _geqrf,
}
