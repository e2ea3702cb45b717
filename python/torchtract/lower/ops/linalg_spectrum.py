"""Singular values, eigenvalues of symmetric matrices and pseudoinverses, by Jacobi's rotations.

Vectors have a sign that depends on how LAPACK found them. They are no outputs here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import static_int
from torchtract.lower.ops.linalg_jacobi import diagonalised, orthogonalised
from torchtract.lower.ops.linalg_matrices import (
    LARGEST_IN_LOOPS,
    number,
    order_of,
    sides_of,
    turned,
    unit,
    wide,
)
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Value

__all__ = ["NO_VECTORS", "Spectrum", "in_order", "spectrum", "symmetric"]

aten = torch.ops.aten

NO_VECTORS = (
    "the signs of its vectors are LAPACK's choice; use its values alone, or what has no such "
    "choice, as torch.linalg.pinv and torch.linalg.qr"
)


def _normalised(b: Builder, x: Value) -> tuple[Value, Value]:
    """Matrices in float64 whose powers neither overflow nor vanish, and what to multiply with."""
    if x.dtype != torch.float64:
        return wide(b, x), number(b, 1)
    axes = [x.rank - 2, x.rank - 1]
    largest = b.reduce("max_reduce", b.emit("abs", x), axes, keepdim=True)
    none = b.binary("eq", largest, number(b, 0), torch.bool)
    largest = b.where(none, number(b, 1), largest)
    return b.binary("div", x, largest), largest


def in_order(b: Builder, x: Value, like: Fact, descending: bool) -> Value:
    """Rows of values, [..., 1, n], as sorted values."""
    x = b.squeeze(x, [x.rank - 2])
    count, axis = like.shape[-1], x.rank - 1
    results = [x, x.of(dtype=torch.int64)]
    values, _ = b.emit_many("tract_core_topk", x, count, axis, descending, results=results)
    return b.cast(values, like.dtype)


def _vectors(b: Builder, like: Fact, values: Fact) -> Value:
    """Those of matrices without elements, and none else."""
    if 0 in like.shape:
        return b.full(0, like.dtype, like.shape)
    if values.shape[-1] != 0:
        return b.unusable(like, NO_VECTORS)
    unit = torch.eye(static_int(like.shape[-1], "the number of columns"), dtype=like.dtype)
    return b.broadcast(b.constant(unit), like.shape)


def _lengths(b: Builder, x: Value) -> Value:
    """Those of the columns, [..., 1, columns]."""
    squares = b.reduce("sum_reduce", b.binary("mul", x, x), [x.rank - 2], keepdim=True)
    return b.emit("sqrt", squares)


@lowers(aten._linalg_svd.default)
def linalg_svd(
    b: Builder,
    A: Value,  # noqa: N803
    full_matrices: bool = False,
    compute_uv: bool = True,
    driver: str | None = None,
) -> tuple[Value, Value, Value]:
    """_linalg_svd(Tensor A, bool full_matrices=False, bool compute_uv=True, ...) -> ..."""
    u, s, vh = b.results
    found = _vectors(b, u, s), _vectors(b, vh, s)
    if 0 in s.shape:
        return found[0], b.full(0, s.dtype, s.shape), found[1]
    x, scale = _normalised(b, A)
    x = x if A.shape[-2] >= A.shape[-1] else turned(b, x)
    values = _lengths(b, orthogonalised(b, x, sides_of(x, LARGEST_IN_LOOPS)[0]))
    return found[0], in_order(b, b.binary("mul", values, scale), s, True), found[1]


@lowers(aten._linalg_eigh.default)
def linalg_eigh(
    b: Builder,
    A: Value,  # noqa: N803
    UPLO: str = "L",  # noqa: N803
    compute_v: bool = True,
) -> tuple[Value, Value]:
    """_linalg_eigh(Tensor A, str UPLO="L", bool compute_v=True) -> ..."""
    values, vectors = b.results
    if 0 in values.shape:
        return b.full(0, values.dtype, values.shape), _vectors(b, vectors, values)
    x, scale = _normalised(b, symmetric(b, A, upper=UPLO.upper() == "U"))
    found = b.binary("mul", diagonalised(b, x), scale)
    return in_order(b, found, values, False), _vectors(b, vectors, values)


def symmetric(b: Builder, x: Value, upper: bool = False) -> Value:
    """The symmetric matrices of which one triangle is given."""
    places = torch.arange(order_of(x, LARGEST_IN_LOOPS))
    above = places[:, None] < places
    return b.where(b.constant(above.T if upper else above), turned(b, x), x)


@dataclass(frozen=True)
class Spectrum:
    """Tall matrices A as far as their pseudoinverses need them, wide ones turned.

    Attributes:
        vectors: V, whose columns are orthogonal and of length 1.
        images: A V, whose columns are orthogonal.
        lengths: those of the images, [..., 1, columns].
        scale: what A was divided by.
    """

    vectors: Value
    images: Value
    lengths: Value
    scale: Value

    def values(self, b: Builder) -> Value:
        """The singular values, [..., 1, columns], in no order."""
        return b.binary("mul", self.lengths, self.scale)

    def pseudoinverse(self, b: Builder, kept: Value) -> Value:
        """That of A, with some of the singular values."""
        squares = b.binary("mul", self.lengths, self.lengths)
        squares = b.where(kept, squares, number(b, torch.inf))
        batch = "abcdefgh"[: self.vectors.rank - 2]
        product = f"{batch}ik,{batch}jk->{batch}ij"
        inverse = b.einsum(product, b.binary("div", self.vectors, squares), self.images)
        return b.binary("div", inverse, self.scale)


def spectrum(b: Builder, x: Value) -> Spectrum:
    """The singular values of matrices and what goes with them."""
    rows, columns = sides_of(x, LARGEST_IN_LOOPS)
    matrix, scale = _normalised(b, x)
    if rows < columns:
        rows, columns, matrix = columns, rows, turned(b, matrix)
    axis = x.rank - 2
    both = b.concat([matrix, unit(b, columns, matrix)], axis)
    both = orthogonalised(b, both, rows)
    images, vectors = b.slice(both, axis, 0, rows), b.slice(both, axis, rows, rows + columns)
    return Spectrum(vectors, images, _lengths(b, images), scale)


@lowers(aten.linalg_pinv.atol_rtol_tensor)
def linalg_pinv(
    b: Builder,
    x: Value,
    atol: Value | None = None,
    rtol: Value | None = None,
    hermitian: bool = False,
) -> Value:
    """linalg_pinv.atol_rtol_tensor(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, ...)"""
    if 0 in b.result.shape:
        return b.full(0, b.result.dtype, b.result.shape)
    found = spectrum(b, symmetric(b, x) if hermitian else x)
    values = found.values(b)
    kept = b.binary("gt", values, _least(b, values, x, atol, rtol), torch.bool)
    inverse = found.pseudoinverse(b, kept)
    rows, columns = sides_of(x, LARGEST_IN_LOOPS)
    return b.cast(inverse if rows >= columns else turned(b, inverse), b.result.dtype)


def _least(b: Builder, sizes: Value, x: Value, atol: Value | None, rtol: Value | None) -> Value:
    """What singular values have to be larger than in order to count."""
    relative = number(b, torch.finfo(x.dtype).eps * max(sides_of(x, LARGEST_IN_LOOPS)))
    absolute = number(b, 0)
    if atol is not None:
        absolute = b.unsqueeze(wide(b, atol), [atol.rank, atol.rank + 1])
        given = b.binary("gt", absolute, number(b, 0), torch.bool)
        relative = b.where(given, number(b, 0), relative)
    if rtol is not None:
        relative = b.unsqueeze(wide(b, rtol), [rtol.rank, rtol.rank + 1])
    largest = b.reduce("max_reduce", sizes, [sizes.rank - 1], keepdim=True)
    return b.binary("max", absolute, b.binary("mul", relative, largest))
