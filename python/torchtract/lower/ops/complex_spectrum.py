"""Singular values and eigenvalues of complex matrices, by real ones of twice as many rows.

The real matrix that stands for a complex one has each value of it twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload

from torchtract.lower.builder import Builder
from torchtract.lower.ops.complex_linalg import embedded
from torchtract.lower.ops.complex_parts import of_reals, parts_of
from torchtract.lower.ops.linalg_spectrum import NO_VECTORS, symmetric
from torchtract.lower.pairs import complex_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Value

aten = torch.ops.aten


@lowers(aten._linalg_svd.default, of_complex=True)
def linalg_svd(
    b: Builder,
    A: Value,  # noqa: N803
    full_matrices: bool = False,
    compute_uv: bool = True,
    driver: str | None = None,
) -> tuple[Value, Value, Value]:
    """_linalg_svd(Tensor A, bool full_matrices=False, bool compute_uv=True, ...) -> ..."""
    u, _, vh = b.results
    values = _values(b, aten._linalg_svd.default, A, 1, compute_uv=False)
    return _vectors(b, u), values, _vectors(b, vh)


@lowers(aten._linalg_eigh.default, of_complex=True)
def linalg_eigh(
    b: Builder,
    A: Value,  # noqa: N803
    UPLO: str = "L",  # noqa: N803
    compute_v: bool = True,
) -> tuple[Value, Value]:
    """_linalg_eigh(Tensor A, str UPLO="L", bool compute_v=True) -> ..."""
    vectors = _vectors(b, b.results[1])
    if 0 in A.shape:
        return _values(b, aten._linalg_eigh.default, A, 0), vectors
    upper = UPLO.upper() == "U"
    real, imag = (symmetric(b, part, upper) for part in parts_of(b, A))
    ones = torch.ones(*(real.shape[-2:]), dtype=real.dtype)
    above, below = (ones.triu(1), ones.tril(-1)) if upper else (ones.tril(-1), ones.triu(1))
    hermitian = complex_of(real, b.binary("mul", imag, b.constant(above - below)))
    return _values(b, aten._linalg_eigh.default, hermitian, 0, compute_v=False), vectors


def _values(b: Builder, overload: OpOverload, x: Value, at: int, **options: Any) -> Value:
    """One of each two values of the real matrix."""
    values = b.results[at]
    if 0 in values.shape:
        return b.full(0, values.dtype, values.shape)
    count = values.shape[-1]
    none = Fact(values.dtype, (0,))
    doubled = values.of(shape=[*values.shape[:-1], 2 * count])
    with b.giving(*(doubled if i == at else none for i in range(len(b.results)))):
        found = of_reals(overload)(b, embedded(b, x), **options)[at]
    pairs = b.reshape(found, [*values.shape, 2])
    return b.squeeze(b.slice(pairs, values.rank, 0, 1), [values.rank])


def _vectors(b: Builder, like: Fact) -> Value:
    """Those of no matrices, and none else."""
    if 0 not in like.shape:
        return b.unusable(like, NO_VECTORS)
    return complex_of(*(b.full(0, like.dtype.to_real(), like.shape) for _ in range(2)))
