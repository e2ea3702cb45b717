"""How half-precision tensors are computed with: in float32 where PyTorch's kernels do so."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.value import Value

__all__ = ["computed_in_float32", "with_all_digits_of"]

_HALF = (torch.float16, torch.bfloat16)

_Lowering = TypeVar("_Lowering", bound=Callable[..., Any])


def computed_in_float32(lowering: _Lowering) -> _Lowering:
    """Widen half-precision tensors ahead of a lowering and round its results once.

    PyTorch's kernels compute so; a formula of several steps would lose digits otherwise.
    """

    @functools.wraps(lowering)
    def widened(b: Builder, **arguments: Any) -> Any:
        results = lowering(b, **{name: _widened(b, v) for name, v in arguments.items()})
        if isinstance(results, Value):
            return b.cast(results, b.result.dtype)
        return tuple(b.cast(r, f.dtype) for r, f in zip(results, b.results, strict=True))

    return widened  # type: ignore[return-value]


def _widened(b: Builder, argument: Any) -> Any:
    if isinstance(argument, list):
        return [_widened(b, part) for part in argument]
    if not isinstance(argument, Value):
        return argument
    if _is_wider_number(argument, b.results[0].dtype):
        argument = b.cast(argument, torch.float16)
    return b.cast(argument, torch.float32) if argument.dtype in _HALF else argument


def with_all_digits_of(*names: str) -> Callable[[_Lowering], _Lowering]:
    """Take these arguments with all their digits where they are numbers and tensors are halves.

    So do some of PyTorch's kernels, products above all, and round results only. The same is true
    of tensors of rank 0.
    """

    def of(lowering: _Lowering) -> _Lowering:
        @functools.wraps(lowering)
        def widened(b: Builder, **arguments: Any) -> Any:
            dtype = b.result.dtype
            if not any(_loses_digits(arguments.get(name), dtype) for name in names):
                return lowering(b, **arguments)
            with b.giving(b.result.of(dtype=torch.float32)):
                wide = {name: _widened(b, value) for name, value in arguments.items()}
                result = lowering(b, **wide)
            return b.cast(result, dtype)

        return widened  # type: ignore[return-value]

    return of


def _loses_digits(number: Any, dtype: torch.dtype) -> bool:
    """Whether a number, or a tensor that stands for one, has digits that this type has not."""
    if dtype not in _HALF or number is None or isinstance(number, bool):
        return False
    if isinstance(number, Value):
        return _is_wider_number(number, dtype)
    known = isinstance(number, (int, float))
    return not known or (
        math.isfinite(number) and torch.tensor(number, dtype=dtype).item() != number
    )


def _is_wider_number(x: Value, dtype: torch.dtype) -> bool:
    return dtype in _HALF and x.rank == 0 and x.dtype in (torch.float32, torch.float64)
