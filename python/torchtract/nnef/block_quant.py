"""Block-quantised tensors: 32 values of a row share a scale, as in GGML.

`q4_0` has 4 bits a value and a scale of 16 bits a block (ggml's `ggml-quants.c`). tract has kernels
for it; for ggml's others, such as `q8_1`, it has none on x86.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "FORMATS", "bytes_by_blocks", "restored", "to_blocks"]

BLOCK = 32
"""How many values share a scale."""

FORMATS = {"q4_0": 0x3040}
"""Of each format, the code in the header of a `.dat` file."""

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

#: Blocks that are made at once: a large weight takes no more memory than it has.
_AT_ONCE = 1 << 15

_Q4_0 = np.dtype([("scale", "<f2"), ("pairs", "u1", BLOCK // 2)])


def bytes_by_blocks(values: int) -> int:
    """How many bytes hold so many values."""
    return values // BLOCK * _Q4_0.itemsize


def to_blocks(array: Floats) -> npt.NDArray[np.void]:
    """The blocks of an array whose last axis is a multiple of 32, in the order of its elements.

    The value that is furthest from zero is -8 times the scale of its block.

    Raises:
        ValueError: a value is not finite, or too large for a scale of 16 bits.
    """
    rows = array.reshape(-1, BLOCK)
    blocks = np.empty(len(rows), _Q4_0)
    for start in range(0, len(rows), _AT_ONCE):
        at_once = slice(start, start + _AT_ONCE)
        with np.errstate(over="ignore", invalid="ignore"):
            _fill(blocks[at_once], rows[at_once].astype(np.float32))
    if not np.isfinite(blocks["scale"]).all():
        raise ValueError("it has values that are not finite or beyond 524032")
    return blocks


def _fill(blocks: npt.NDArray[np.void], rows: npt.NDArray[np.float32]) -> None:
    furthest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)
    scale = furthest / np.float32(-8)
    kept = scale.astype(np.float16) != 0
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=kept)
    levels = np.clip(np.floor(rows * inverse + 8.5), 0, 15).astype(np.uint8)
    blocks["scale"] = scale[:, 0]
    blocks["pairs"] = levels[:, : BLOCK // 2] | levels[:, BLOCK // 2 :] << 4


def restored(array: Floats) -> npt.NDArray[np.float32]:
    """What the blocks keep of an array, in its shape."""
    blocks = to_blocks(array)
    values = np.empty((len(blocks), BLOCK), np.float32)
    values[:, : BLOCK // 2] = blocks["pairs"] & 15
    values[:, BLOCK // 2 :] = blocks["pairs"] >> 4
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(array.shape)
