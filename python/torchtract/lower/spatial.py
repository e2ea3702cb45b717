"""What convolutions and poolings share: the batch axis, and an argument for each axis behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.value import Value

__all__ = ["batched", "per_axis", "unbatched"]


def batched(b: Builder, x: Value, spatial: int) -> Value:
    """The input as `[N, C, ...]`, the batch axis added where an unbatched input lacks it.

    Args:
        b: the builder.
        x: `[N, C, ...]` or `[C, ...]`.
        spatial: how many axes follow the channels.

    Raises:
        Refusal: the input has neither of these ranks.
    """
    require(
        x.rank in (spatial + 1, spatial + 2),
        f"its input of {x.rank} axes is not made of a batch, channels and {spatial} spatial axes",
    )
    return x if x.rank == spatial + 2 else b.unsqueeze(x, [0])


def unbatched(b: Builder, y: Value) -> Value:
    """The result as the call gives it: without the batch axis where the input had none."""
    return y if y.rank == b.results[0].rank else b.squeeze(y, [0])


def per_axis(argument: Sequence[Any], spatial: int, what: str) -> list[int]:
    """An argument as one number for each spatial axis; a single one stands for all.

    Raises:
        Refusal: it depends on a symbol.
    """
    numbers = [static_int(number, what) for number in argument]
    return numbers * spatial if len(numbers) == 1 else numbers
