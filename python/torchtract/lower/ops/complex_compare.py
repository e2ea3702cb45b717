"""Questions about complex numbers: whether they are equal, finite, not zero."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.dtypes import common_dtype
from torchtract.lower.ops.complex_parts import is_true, of_reals, overloads, parts_of
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value

aten = torch.ops.aten


def _of_both(b: Builder, op: str, question: Callable[..., Any], x: Value) -> Value:
    real, imag = parts_of(b, x)
    return b.binary(op, question(b, x=real), question(b, x=imag), torch.bool)


def _comparison(op: str, both: str) -> Callable[..., Value]:
    def compared(b: Builder, x: Value, other: Any) -> Value:
        dtype = common_dtype(x, other).to_real()
        mine = parts_of(b, x, dtype)
        if isinstance(other, Value):
            theirs = parts_of(b, other, dtype)
        else:
            number = complex(other)
            theirs = b.scalar(number.real, dtype), b.scalar(number.imag, dtype)
        pairs = zip(mine, theirs, strict=True)
        real, imag = (b.binary(op, p, q, torch.bool) for p, q in pairs)
        return b.binary(both, real, imag)

    return compared


for _overload in (aten.eq.Tensor, aten.eq.Scalar):
    lowers(_overload, of_complex=True)(_comparison("eq", "and"))
for _overload in (aten.ne.Tensor, aten.ne.Scalar, aten.not_equal.Tensor, aten.not_equal.Scalar):
    lowers(_overload, of_complex=True)(_comparison("ne", "or"))


def _question(overload: Any, op: str) -> Callable[..., Value]:
    question = of_reals(overload)

    def asked(b: Builder, x: Value) -> Value:
        return _of_both(b, op, question, x)

    return asked


lowers(aten.isnan.default, of_complex=True)(_question(aten.isnan.default, "or"))
lowers(aten.isinf.default, of_complex=True)(_question(aten.isinf.default, "or"))
lowers(aten.isfinite.default, of_complex=True)(_question(aten.isfinite.default, "and"))


def _of_truths(overload: Any) -> Callable[..., Any]:
    """Complex numbers as whether they are not zero."""
    function = of_reals(overload)

    @functools.wraps(function)
    def of_truths(b: Builder, **arguments: Any) -> Any:
        return function(
            b,
            **{name: is_true(b, v) if isinstance(v, Value) else v for name, v in arguments.items()},
        )

    return of_truths


for _overload in overloads(
    *(aten.logical_and, aten.logical_or, aten.logical_xor, aten.logical_not),
    *(aten.any, aten.all, aten.count_nonzero, aten.nonzero.default, aten.argwhere.default),
    *(aten.nonzero_numpy.default, aten.nonzero_static.default),
):
    lowers(_overload, of_complex=True)(_of_truths(_overload))
