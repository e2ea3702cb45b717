"""Convolutions and transposed convolutions over one, two and three spatial axes."""

from __future__ import annotations

import itertools
from functools import reduce

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require, static_shape
from torchtract.lower.limbs import summed_exactly
from torchtract.lower.ops.pad import padded
from torchtract.lower.registry import lowers
from torchtract.lower.spatial import batched, per_axis, unbatched
from torchtract.lower.value import Size, Value, size_of

aten = torch.ops.aten


@lowers(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
def conv(
    b: Builder,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Value:
    """conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1,
    SymInt[2] padding=0, SymInt[2] dilation=1, SymInt groups=1) -> Tensor
    """
    pads = [(p, p) for p in per_axis(padding, weight.rank - 2, "its padding")]
    return _convolve(b, "conv", x, weight, bias, pads, stride, dilation, groups)


@lowers(aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding)
def conv_padding(
    b: Builder,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: list[int],
    padding: str,
    dilation: list[int],
    groups: int,
) -> Value:
    """conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1,
    str padding="valid", SymInt[2] dilation=1, SymInt groups=1) -> Tensor
    """
    kernel = static_shape(weight.shape[2:], "its kernel")
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    totals = reach if padding == "same" else [0] * len(reach)
    # Where the total is odd, PyTorch pads the end by one more.
    pads = [(total // 2, total - total // 2) for total in totals]
    return _convolve(b, "conv", x, weight, bias, pads, stride, dilation, groups)


@lowers(aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
def conv_transpose(
    b: Builder,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    groups: int,
    dilation: list[int],
) -> Value:
    """conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None,
    SymInt[2] stride=1, SymInt[2] padding=0, SymInt[2] output_padding=0, SymInt groups=1,
    SymInt[2] dilation=1) -> Tensor
    """
    # Padding crops the output, and output_padding has its end cropped by that much less. NNEF
    # says this by an output_shape, which tract reads only where it holds no symbols.
    spatial = weight.rank - 2
    steps = per_axis(stride, spatial, "its stride")
    begins = per_axis(padding, spatial, "its padding")
    extra = per_axis(output_padding, spatial, "its output_padding")
    ends = [p - e for p, e in zip(begins, extra, strict=True)]
    # Where that is not enough, zeros at the input's end lengthen the output by a stride each.
    zeros = [max(0, -(end // step)) for end, step in zip(ends, steps, strict=True)]
    ends = [end + n * step for end, n, step in zip(ends, zeros, steps, strict=True)]
    x = padded(b, batched(b, x, spatial), [(0, 0), (0, 0), *((0, n) for n in zeros)])
    pads = list(zip(begins, ends, strict=True))
    kernel = _transposed(b, weight, groups)
    return _convolve(b, "deconv", x, kernel, bias, pads, stride, dilation, groups)


@lowers(aten.convolution.default)
def convolution(
    b: Builder,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Value:
    """convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride,
    SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding,
    SymInt groups) -> Tensor
    """
    if transposed:
        return conv_transpose(b, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(b, x, weight, bias, stride, padding, dilation, groups)


def _convolve(
    b: Builder,
    op: str,
    x: Value,
    weight: Value,
    bias: Value | None,
    pads: list[tuple[int, int]],
    stride: list[int],
    dilation: list[int],
    groups: int,
) -> Value:
    """A convolution of NNEF. Weights are `[out, in/groups, ...]`, for `deconv` too."""
    if x.dtype == torch.float16:  # tract would add up in half precision
        x_, weight = b.cast(x, torch.float32), b.cast(weight, torch.float32)
        bias = None if bias is None else b.cast(bias, torch.float32)
        y = _floating(b, op, x_, weight, bias, pads, stride, dilation, groups)
        return b.cast(y, x.dtype)
    if x.dtype.is_floating_point:
        return _floating(b, op, x, weight, bias, pads, stride, dilation, groups)

    def products(x: Value, weight: Value) -> Value:
        return _floating(b, op, x, weight, None, pads, stride, dilation, groups)

    y = summed_exactly(b, products, x, weight)
    if bias is None:
        return y
    return b.binary("add", y, b.unsqueeze(bias, list(range(1, weight.rank - 1))))


def _floating(
    b: Builder,
    op: str,
    x: Value,
    weight: Value,
    bias: Value | None,
    pads: list[tuple[int, int]],
    stride: list[int],
    dilation: list[int],
    groups: int,
) -> Value:
    if op == "conv" and not isinstance(groups, int) and _is_depthwise(weight, groups):
        return _depthwise(b, x, weight, bias, pads, stride, dilation)
    static_shape(weight.shape, "its weight")
    spatial = weight.rank - 2
    x = batched(b, x, spatial)
    y = b.emit(
        op,
        x,
        weight,
        bias,
        like=x.of(shape=[x.shape[0], *b.result.shape[-spatial - 1 :]]),
        border="constant",
        padding=pads,
        stride=per_axis(stride, spatial, "its stride"),
        dilation=per_axis(dilation, spatial, "its dilation"),
        groups=groups,
    )
    return unbatched(b, y)


def _is_depthwise(weight: Value, groups: Size) -> bool:
    return weight.shape[0] == groups and weight.shape[1] == 1


def _depthwise(
    b: Builder,
    x: Value,
    weight: Value,
    bias: Value | None,
    pads: list[tuple[int, int]],
    stride: list[int],
    dilation: list[int],
) -> Value:
    """A convolution of each channel by itself, where a symbol says how many there are.

    tract's has a number of groups, so this adds up what each position of the kernel gives.
    """
    spatial = weight.rank - 2
    kernel = static_shape(weight.shape[2:], "its kernel")
    apart = per_axis(dilation, spatial, "its dilation")
    require(per_axis(stride, spatial, "its stride") == [1] * spatial, "its stride is not 1")
    x = padded(b, batched(b, x, spatial), [(0, 0), (0, 0), *pads])
    sizes = [x.shape[2 + a] - apart[a] * (k - 1) for a, k in enumerate(kernel)]
    require(0 not in kernel, "its kernel holds nothing")
    weight = b.transpose(weight, [1, 0, *range(2, weight.rank)])

    def product(position: tuple[int, ...]) -> Value:
        part, factor = x, weight
        for axis, place in enumerate(position, 2):
            begin = place * apart[axis - 2]
            part = b.slice(part, axis, begin, size_of(begin + sizes[axis - 2]))
            factor = b.slice(factor, axis, place, place + 1)
        return b.binary("mul", part, factor)

    products = map(product, itertools.product(*map(range, kernel)))
    y = reduce(lambda total, each: b.binary("add", total, each), products)
    if bias is not None:
        y = b.binary("add", y, b.unsqueeze(bias, list(range(1, spatial + 1))))
    return unbatched(b, y)


def _transposed(b: Builder, weight: Value, groups: int) -> Value:
    """PyTorch's weights of a transposed convolution, `[in, out/groups, ...]`, as tract's."""
    axes = list(range(2, weight.rank))
    if groups == 1:
        return b.transpose(weight, [1, 0, *axes])
    inputs, outputs, *kernel = static_shape(weight.shape, "its weight")
    weight = b.reshape(weight, [groups, inputs // groups, outputs, *kernel])
    weight = b.transpose(weight, [0, 2, 1, *(a + 1 for a in axes)])
    return b.reshape(weight, [groups * outputs, inputs // groups, *kernel])
