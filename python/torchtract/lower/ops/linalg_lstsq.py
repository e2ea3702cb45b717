"""Solutions of least squares, which LAPACK's drivers find in different ways."""

from __future__ import annotations

import torch

from torchtract import factorizations  # noqa: F401  (defines torch.ops.torchtract.lstsq)
from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.ops.linalg_matrices import (
    LARGEST_IN_LOOPS,
    batched,
    number,
    sides_of,
    turned,
    wide,
)
from torchtract.lower.ops.linalg_spectrum import in_order, spectrum
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

_RESIDUALS = (
    "the residuals of the drivers gelss and gelsd have a shape that depends on the ranks; compute "
    "them, (A @ solution - B).square().sum(-2), or use the driver gels"
)

_PIVOTS = "the driver gelsy counts ranks by pivots of its own; leave rcond out, or use gelsd"


@lowers(torch.ops.torchtract.lstsq.default)
def lstsq(
    b: Builder, x: Value, y: Value, rcond: float | None, driver: str
) -> tuple[Value, Value, Value, Value]:
    """lstsq(Tensor x, Tensor y, float? rcond, str driver) -> (Tensor, Tensor, Tensor, Tensor)"""
    solution, _, rank, values = b.results
    require(driver != "gelsy" or rcond is None, _PIVOTS)
    require(0 not in (*x.shape, *y.shape), "its matrices have no elements")
    found = spectrum(b, x)
    sizes = found.values(b)
    kept = b.binary("gt", sizes, _least(b, sizes, x, rcond, driver), torch.bool)
    inverse = found.pseudoinverse(b, kept)
    rows, columns = sides_of(x, LARGEST_IN_LOOPS)
    done = _times(b, inverse if rows >= columns else turned(b, inverse), wide(b, y))
    count = b.reduce("sum_reduce", b.cast(kept, torch.int64), [x.rank - 2, x.rank - 1])
    ordered = in_order(b, sizes, values, True) if driver in ("gelss", "gelsd") else None
    return (
        b.cast(done, solution.dtype),
        _residuals(b, x, done, wide(b, y), driver),
        count if driver != "gels" else b.full(0, rank.dtype, rank.shape),
        ordered or b.full(0, values.dtype, values.shape),
    )


def _least(b: Builder, sizes: Value, x: Value, rcond: float | None, driver: str) -> Value:
    """What singular values have to be larger than in order to count."""
    if driver == "gels":  # it takes full rank for granted
        return number(b, 0)
    tolerance = torch.finfo(x.dtype).eps * max(sides_of(x, LARGEST_IN_LOOPS))
    largest = b.reduce("max_reduce", sizes, [sizes.rank - 1], keepdim=True)
    return b.binary("mul", largest, number(b, tolerance if rcond is None else rcond))


def _residuals(b: Builder, x: Value, done: Value, y: Value, driver: str) -> Value:
    like = b.results[1]
    if like.shape == (0,):
        return b.full(0, like.dtype, like.shape)
    if driver != "gels":
        return b.unusable(like, _RESIDUALS)
    rest = b.binary("sub", _times(b, wide(b, x), done), y)
    squares = b.reduce("sum_reduce", b.binary("mul", rest, rest), [rest.rank - 2])
    return b.cast(squares, like.dtype)


def _times(b: Builder, x: Value, y: Value) -> Value:
    x, y = batched(b, x, y)
    batch = "abcdefgh"[: x.rank - 2]
    return b.einsum(f"{batch}ij,{batch}jk->{batch}ik", x, y)
