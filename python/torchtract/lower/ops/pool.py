"""Poolings with a sliding window."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_int
from torchtract.lower.limbs import summed_exactly
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.ops.pad import padded
from torchtract.lower.registry import lowers
from torchtract.lower.spatial import batched, unbatched
from torchtract.lower.value import Size, Value, volume

aten = torch.ops.aten


@lowers(aten.max_pool1d.default, aten.max_pool2d.default, aten.max_pool3d.default)
def max_pool(
    b: Builder,
    x: Value,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
) -> Value:
    """max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0,
    int[2] dilation=1, bool ceil_mode=False) -> Tensor
    """
    window = _Window(kernel_size, stride or kernel_size, padding, dilation, ceil_mode)
    return _pool(b, "max_pool", x, window, window.pads(b, x), "ignore")[0]


@lowers(
    aten.max_pool1d_with_indices.default,
    aten.max_pool2d_with_indices.default,
    aten.max_pool3d_with_indices.default,
)
def max_pool_with_indices(
    b: Builder,
    x: Value,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
) -> tuple[Value, ...]:
    """max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[],
    int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)
    """
    window = _Window(kernel_size, stride or kernel_size, padding, dilation, ceil_mode)
    return _pool(b, "max_pool_with_index", x, window, window.pads(b, x), "ignore")


@lowers(aten.avg_pool1d.default)
@computed_in_float32
def avg_pool1d(
    b: Builder,
    x: Value,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Value:
    """avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0,
    bool ceil_mode=False, bool count_include_pad=True) -> Tensor
    """
    window = _Window(kernel_size, stride or kernel_size, padding, [1], ceil_mode)
    return _average(b, x, window, count_include_pad)


@lowers(aten.avg_pool2d.default, aten.avg_pool3d.default)
@computed_in_float32
def avg_pool(
    b: Builder,
    x: Value,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Value:
    """avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0,
    bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor
    """
    ones = [1] * len(kernel_size)
    window = _Window(kernel_size, stride or kernel_size, padding, ones, ceil_mode)
    if divisor_override is None:
        return _average(b, x, window, count_include_pad)
    total = _total(b, x, window, window.pads(b, x))
    return b.binary("div", total, b.scalar(divisor_override, total.dtype))


@dataclass(frozen=True)
class _Window:
    """A window that slides over the spatial axes: one number for each of them."""

    kernel: list[int]
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    ceil_mode: bool

    def pads(self, b: Builder, x: Value) -> list[tuple[int, int]]:
        """What to add at both ends of each axis for as many windows as PyTorch has.

        Raises:
            Refusal: that depends on a symbol.
        """
        if not self.ceil_mode:
            return [(p, p) for p in self.padding]
        spatial = len(self.kernel)
        sizes, counts = x.shape[-spatial:], b.result.shape[-spatial:]
        ends = [self._overhang(axis, sizes[axis], counts[axis]) for axis in range(spatial)]
        return [(p, p + end) for p, end in zip(self.padding, ends, strict=True)]

    def _overhang(self, axis: int, size: Size, count: Size) -> int:
        """How far the last window reaches beyond the padding, as ceil_mode lets it do."""
        stride, padding = self.stride[axis], self.padding[axis]
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        if isinstance(size, int):
            last = (static_int(count, "its output") - 1) * stride
            return max(0, last + reach - size - 2 * padding)
        # PyTorch drops a last window that starts beyond the input. Here none does, and any
        # number below the stride gives as many windows.
        require(
            stride + padding <= reach,
            f"ceil_mode=True with kernel {reach}, stride {stride} and padding {padding} gives a "
            f"number of windows over {size} elements that no formula of tract's says",
        )
        return stride - 1


def _average(b: Builder, x: Value, window: _Window, count_include_pad: bool) -> Value:
    """Mean of each window. Padding counts if asked to, what lies beyond it never does."""
    pads = window.pads(b, x)
    if window.ceil_mode and count_include_pad:
        outer = [(0, 0)] * (x.rank - len(window.padding))
        x = padded(b, x, [*outer, *((p, p) for p in window.padding)])
        pads = [(0, end - begin) for begin, end in pads]
        count_include_pad = False
    if not x.dtype.is_floating_point:  # PyTorch divides whole numbers
        count = volume(window.kernel)
        total = _total(b, x, window, pads)
        if count_include_pad or not any(map(any, pads)):
            return b.binary("div", total, b.scalar(count, x.dtype))
        ones = b.full(1, torch.float64, [1, 1, *x.shape[-len(window.kernel) :]])
        present = _pool(b, "box", ones, window, pads, "ignore", normalize=False)[0]
        return b.binary("div", total, b.cast(present, x.dtype))
    border = "constant" if count_include_pad else "ignore"
    return _pool(b, "box", x, window, pads, border, normalize=True)[0]


def _total(b: Builder, x: Value, window: _Window, pads: list[tuple[int, int]]) -> Value:
    """Sum of each window."""

    def total(x: Value) -> Value:
        return _pool(b, "box", x, window, pads, "ignore", normalize=False)[0]

    return total(x) if x.dtype.is_floating_point else summed_exactly(b, total, x)


def _pool(
    b: Builder,
    op: str,
    x: Value,
    window: _Window,
    pads: list[tuple[int, int]],
    border: str,
    normalize: bool | None = None,
) -> tuple[Value, ...]:
    """A pooling of NNEF, where the window extends over batch and channels too."""
    spatial = len(window.kernel)
    x = batched(b, x, spatial)
    static_int(x.shape[1], "its number of channels")
    shape = [*x.shape[:2], *b.result.shape[-spatial:]]
    outputs = b.emit_many(
        op,
        x,
        results=[x.of(shape=shape), *(index.of(shape=shape) for index in b.results[1:])],
        size=[1, 1, *window.kernel],
        padding=[(0, 0), (0, 0), *pads],
        stride=[1, 1, *window.stride],
        dilation=[1, 1, *window.dilation],
        border=border,
        normalize=normalize,
    )
    return tuple(unbatched(b, y) for y in outputs)
