"""Whether a lowering gave what its operator gives: as many tensors, of these types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy

from torchtract.lower.value import Fact, Size, Value

__all__ = ["why_wrong"]


def why_wrong(
    given: Sequence[Any], expected: Sequence[Fact], sizes: Mapping[sympy.Symbol, int]
) -> str | None:
    """How what a lowering gave differs from what PyTorch gives, None where it does not.

    Shapes are compared at one size of each symbol: torch and a lowering may say the same size
    in two ways that only what is known of the symbols shows to be one.

    Args:
        given: what the lowering returned.
        expected: element type and shape of each of the operator's outputs.
        sizes: of the symbols, where the program was traced.
    """
    fits = len(given) == len(expected) and all(
        isinstance(value, Value)
        and value.dtype == fact.dtype
        and _same_shape(value.shape, fact.shape, sizes)
        for value, fact in zip(given, expected, strict=True)
    )
    if fits:
        return None
    ours, theirs = (", ".join(map(_told, values)) or "nothing" for values in (given, expected))
    return f"gives {ours}, and the operator {theirs}"


def _same_shape(
    given: Sequence[Size], expected: Sequence[Size], sizes: Mapping[sympy.Symbol, int]
) -> bool:
    return len(given) == len(expected) and all(
        _may_be_same(a, b, sizes) for a, b in zip(given, expected, strict=True)
    )


def _may_be_same(a: Size, b: Size, sizes: Mapping[sympy.Symbol, int]) -> bool:
    if a == b:
        return True
    difference = (sympy.sympify(a) - sympy.sympify(b)).subs(sizes)
    return bool(difference.free_symbols) or difference == 0


def _told(value: Any) -> str:
    known = isinstance(value, Fact)
    return f"{value.dtype}{list(value.shape)}" if known else f"a {type(value).__name__}"
