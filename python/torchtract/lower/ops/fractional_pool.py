"""Poolings by maximum whose windows begin at places that random samples say."""

from __future__ import annotations

from itertools import product

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.ops.compare import isnan
from torchtract.lower.registry import lowers
from torchtract.lower.spatial import batched, unbatched
from torchtract.lower.value import Value, volume

aten = torch.ops.aten

_LARGEST = 64


@lowers(aten.fractional_max_pool2d.default, aten.fractional_max_pool3d.default)
def fractional_max_pool(
    b: Builder, x: Value, kernel_size: list[int], output_size: list[int], random_samples: Value
) -> tuple[Value, ...]:
    """fractional_max_pool2d(Tensor self, int[2] kernel_size, int[2] output_size,
    Tensor random_samples) -> (Tensor, Tensor)
    """
    spatial = len(kernel_size)
    require(
        torch.Size(kernel_size).numel() <= _LARGEST,
        f"its window has more than {_LARGEST} elements, each of which takes operations of its own",
    )
    x = batched(b, x, spatial)
    sizes = [static_int(size, "a size of its input") for size in x.shape[2:]]
    # The samples are of the last axis first where there are two axes, and in order for three.
    order = reversed(range(spatial)) if spatial == 2 else range(spatial)
    begins = [
        _begins(b, random_samples, place, sizes[axis], kernel_size[axis], output_size[axis])
        for axis, place in sorted(zip(range(spatial), order, strict=True))
    ]
    flat = b.reshape(x, [*x.shape[:2], volume(sizes)])
    best = index = None
    for offsets in product(*(range(k) for k in kernel_size)):
        here = _positions(b, begins, offsets, sizes)
        shape = here.shape
        here = b.reshape(here, [*x.shape[:2], volume(shape[2:])])
        found = b.emit(
            "tract_core_gather_elements", flat, here, axis=2, like=x.of(shape=here.shape)
        )
        if best is None or index is None:
            best, index = found, here
            continue
        # As PyTorch does, the last NaN stays.
        better = b.binary("gt", found, best, torch.bool)
        better = b.binary("or", better, isnan(b, found)) if x.dtype.is_floating_point else better
        best, index = b.where(better, found, best), b.where(better, here, index)
    assert best is not None
    assert index is not None
    result = [*x.shape[:2], *output_size]
    return tuple(unbatched(b, b.reshape(v, result)) for v in (best, index))


def _begins(b: Builder, samples: Value, place: int, size: int, kernel: int, count: int) -> Value:
    """Where the windows of each channel begin along an axis, [N, C, windows]."""
    sample = b.slice(samples, 2, place, place + 1)
    last = b.full(size - kernel, torch.int64, [*sample.shape[:2], 1])
    if count == 1:
        return last
    steps = b.constant(torch.arange(count - 1, dtype=sample.dtype).reshape(1, 1, -1))
    step = float(torch.tensor(size - kernel, dtype=sample.dtype) / (count - 1))
    ratio = b.scalar(step, sample.dtype)
    ahead = b.binary("mul", b.binary("add", steps, sample), ratio)
    first = b.cast(b.binary("mul", sample, ratio), torch.int64)
    return b.concat([b.binary("sub", b.cast(ahead, torch.int64), first), last], 2)


def _positions(
    b: Builder, begins: list[Value], offsets: tuple[int, ...], sizes: list[int]
) -> Value:
    """Positions among all elements of a channel, of one element of each window."""
    spatial = len(sizes)
    total = None
    for axis, (begin, offset) in enumerate(zip(begins, offsets, strict=True)):
        here = b.binary("add", begin, b.scalar(offset, torch.int64))
        behind = torch.Size(sizes[axis + 1 :]).numel()
        here = b.binary("mul", here, b.scalar(behind, torch.int64)) if behind != 1 else here
        here = b.unsqueeze(here, [2 + a for a in range(spatial) if a != axis])
        total = here if total is None else b.binary("add", total, here)
    assert total is not None
    return total
