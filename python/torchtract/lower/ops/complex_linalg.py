"""Inverses, exponentials and solutions of complex matrices, by real ones of twice as many rows.

A matrix A + iB does to the parts of a vector what [[A, -B], [B, A]] does to them one on the other.
"""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops import linalg, linalg_exp  # noqa: F401  (their lowerings are taken from the registry)
from torchtract.lower.ops.complex_numbers import add, mul
from torchtract.lower.ops.complex_parts import bilinear, of_reals, parts_of
from torchtract.lower.pairs import complex_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, volume

__all__ = ["embedded"]

aten = torch.ops.aten

_TENSORDOT = bilinear(aten.tensordot.default, "x", "other")

#: Half as many rows as real matrices may have.
_LARGEST = 16


def embedded(b: Builder, x: Value) -> Value:
    """The real matrix that stands for a complex one."""
    order = static_int(x.shape[-1], "the number of rows")
    require(order <= _LARGEST, f"complex matrices of more than {_LARGEST} rows have no lowering")
    real, imag = parts_of(b, x)
    above = b.concat([real, b.emit("neg", imag)], x.rank - 1)
    return b.concat([above, b.concat([imag, real], x.rank - 1)], x.rank - 2)


def _apart(b: Builder, x: Value, axis: int) -> Value:
    """The two halves of an axis as parts."""
    half = static_int(x.shape[axis], "the number of rows") // 2
    return complex_of(b.slice(x, axis, 0, half), b.slice(x, axis, half, 2 * half))


def _real(b: Builder, overload: torch._ops.OpOverload, like: Value, *operands: Value) -> Value:
    with b.giving(like):
        result: Value = of_reals(overload)(b, *operands)
    return result


@lowers(aten.addbmm.default, of_complex=True)
def addbmm(
    b: Builder, x: Value, batch1: Value, batch2: Value, beta: complex = 1, alpha: complex = 1
) -> Value:
    """addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)"""
    product = _TENSORDOT(b, x=batch1, other=batch2, dims_self=[0, 2], dims_other=[0, 1])
    product = product if alpha == 1 else mul(b, product, alpha)
    return product if beta == 0 else add(b, mul(b, x, beta), product)


@lowers(aten.linalg_inv.default, of_complex=True)
def linalg_inv(b: Builder, A: Value) -> Value:  # noqa: N803
    """linalg_inv(Tensor A) -> Tensor"""
    return inverse(b, A)


@lowers(aten.inverse.default, of_complex=True)
def inverse(b: Builder, x: Value) -> Value:
    """inverse(Tensor self) -> Tensor"""
    return _as_real(b, aten.inverse.default, x)


@lowers(aten.linalg_tensorinv.default, of_complex=True)
def linalg_tensorinv(b: Builder, x: Value, ind: int = 2) -> Value:
    """linalg_tensorinv(Tensor self, int ind=2) -> Tensor"""
    shape = [volume(x.shape[:ind]), volume(x.shape[ind:])]
    matrix = complex_of(*(b.reshape(part, shape) for part in parts_of(b, x)))
    inverted = _as_real(b, aten.inverse.default, matrix)
    return complex_of(*(b.reshape(part, b.result.shape) for part in parts_of(b, inverted)))


@lowers(aten.linalg_matrix_exp.default, of_complex=True)
def linalg_matrix_exp(b: Builder, x: Value) -> Value:
    """linalg_matrix_exp(Tensor self) -> Tensor"""
    return _as_real(b, aten.linalg_matrix_exp.default, x)


def _as_real(b: Builder, overload: torch._ops.OpOverload, x: Value) -> Value:
    """What gives a matrix of the same kind for the real one that stands for a complex one."""
    if 0 in x.shape:
        return x
    whole = embedded(b, x)
    result = _real(b, overload, whole, whole)
    return _apart(b, b.slice(result, x.rank - 1, 0, x.shape[-1]), x.rank - 2)


@lowers(aten.linalg_solve.default, of_complex=True)
def linalg_solve(b: Builder, A: Value, B: Value, left: bool = True) -> Value:  # noqa: N803
    """linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor"""
    require(left, "solutions of complex matrices from the right have no lowering; transpose both")
    if 0 in b.result.shape:
        return complex_of(*(b.full(0, A.dtype.to_real(), b.result.shape) for _ in range(2)))
    vectors = B.rank == 1 or (A.rank - 1 == B.rank and A.shape[:-1] == B.shape)
    whole, axis = embedded(b, A), B.rank - (1 if vectors else 2)
    right = b.concat([*parts_of(b, B)], axis)
    shape = [*b.result.shape]
    rows = len(shape) - (1 if vectors else 2)
    shape[rows] = right.shape[axis]
    solution = _real(b, aten.linalg_solve.default, whole.of(shape=shape), whole, right)  # type: ignore[arg-type]
    return _apart(b, solution, rows)
