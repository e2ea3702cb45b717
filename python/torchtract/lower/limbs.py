"""Sums and sums of products of whole numbers, which tract adds up as floating-point numbers.

Float64 is exact up to 53 bits. So numbers are taken apart into limbs of 32 bits, or of 16 where two
are multiplied: sums of two million stay exact. Put together again, they overflow as in PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.value import Value

__all__ = ["summed_exactly"]

_BITS = 32  # of a product of limbs


def summed_exactly(
    b: Builder,
    function: Callable[..., Value],
    *operands: Value,
    dtype: torch.dtype | None = None,
) -> Value:
    """A function that is linear in each operand, of integers of one type.

    Args:
        b: the builder.
        function: gives a float64 tensor of float64 tensors.
        operands: tensors of integers.
        dtype: of the result, by default the operands'.
    """
    of = operands[0].dtype
    bits = 1 if of == torch.bool else torch.iinfo(of).bits
    width = _BITS // len(operands)
    count = -(-bits // width)
    parts = [_limbs(b, x, count, width) for x in operands]
    total = None
    for place in range(count):
        terms = [
            function(*(limbs[i] for limbs, i in zip(parts, places, strict=True)))
            for places in product(range(count), repeat=len(operands))
            if sum(places) == place
        ]
        whole = [b.cast(term, torch.int64) for term in terms]
        part = functools.reduce(lambda x, y: b.binary("add", x, y), whole)
        if place:
            part = b.binary("tract_shl", part, b.scalar(width * place, torch.int64))
        total = part if total is None else b.binary("add", total, part)
    assert total is not None
    return b.cast(total, dtype or of)


def _limbs(b: Builder, x: Value, count: int, width: int) -> list[Value]:
    """Parts of so many bits, the lowest first. A number of one part keeps its sign."""
    if count == 1:
        return [b.cast(x, torch.float64)]
    wide, mask = b.cast(x, torch.int64), b.scalar(2**width - 1, torch.int64)
    shifted = (
        b.binary("tract_shr", wide, b.scalar(width * i, torch.int64)) if i else wide
        for i in range(count)
    )
    return [b.cast(b.binary("tract_core_bitand", s, mask), torch.float64) for s in shifted]
