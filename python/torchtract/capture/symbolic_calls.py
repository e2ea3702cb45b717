"""PyTorch functions whose C++ code makes numbers of sizes, said by others that keep symbols.

`F.avg_pool1d(x, x.shape[2])` and `torch.linspace(0, 1, x.shape[1])` would fix the sizes they
are given while tracing. Each function here takes such calls only, and gives NotImplemented for
those that PyTorch's own code can trace. The last ones leave out what is for training alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, combinations_with_replacement
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import SymInt, Tensor

from torchtract.capture.matrix_calls import MATRIX_CALLS

__all__ = ["REPLACEMENTS"]


def _max_pool1d(x: Tensor, *args: Any, return_indices: bool = False, **kwargs: Any) -> Any:
    pooled = NotImplemented if return_indices else _max_pool(x, *args, **kwargs)
    if pooled is not NotImplemented or return_indices:
        return pooled
    return torch.max_pool1d_with_indices(x, *args, **kwargs)[0]


def _max_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,  # noqa: ARG001  (a window over everything has one place)
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    whole = _whole_axes(x, kernel_size)
    plain = padding == 0 and dilation == 1 and not (ceil_mode or return_indices)
    return x.amax(whole, keepdim=True) if whole and plain else NotImplemented


def _avg_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,  # noqa: ARG001  (a window over everything has one place)
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,  # noqa: ARG001  (there is none)
    divisor_override: int | None = None,
) -> Any:
    whole = _whole_axes(x, kernel_size)
    plain = padding == 0 and not ceil_mode and divisor_override is None
    return x.mean(whole, keepdim=True) if whole and plain else NotImplemented


def _whole_axes(x: Tensor, kernel_size: Any) -> list[int]:
    """The spatial axes, if the window covers all of each of them and some are symbolic."""
    sizes = kernel_size if isinstance(kernel_size, (tuple, list)) else [kernel_size]
    axes = list(range(x.dim() - len(sizes), x.dim()))
    symbolic = any(isinstance(size, SymInt) for size in sizes)
    covered = all(_same(size, x.shape[a]) for size, a in zip(sizes, axes, strict=True))
    return axes if symbolic and covered else []


def _same(size: Any, other: Any) -> bool:
    """Whether two sizes are equal at all values of their symbols."""
    if isinstance(size, SymInt) and isinstance(other, SymInt):
        return bool(size.node.expr == other.node.expr)
    return isinstance(size, int) and isinstance(other, int) and size == other


def _adaptive_avg_pool1d(x: Tensor, output_size: Any) -> Any:
    count = output_size[0] if isinstance(output_size, (tuple, list)) else output_size
    if not isinstance(count, SymInt):
        return NotImplemented
    plane: Any = (1, count)
    return F.adaptive_avg_pool2d(x.unsqueeze(-2), plane).squeeze(-2)


def _linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None, **where: Any) -> Any:
    if not isinstance(steps, SymInt) or where.get("out") is not None:
        return NotImplemented
    dtype = dtype or torch.get_default_dtype()
    first, last = (torch.full((), n, dtype=dtype) for n in (start, end))
    gaps = torch.full((), torch.sym_max(steps - 1, 1), dtype=dtype)
    step = (last - first) / gaps
    n: Tensor = torch.arange(steps)  # type: ignore[call-overload]  # symbols are missing
    last_place: Any = steps - 1
    # From both ends, as PyTorch counts; a single number is the start.
    behind = n >= torch.sym_max(steps // 2, 1)
    return torch.where(behind, last - step * (last_place - n), first + step * n)


def _istft(
    x: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: Any = None,
    return_complex: bool = False,
) -> Any:
    # With a number too: PyTorch's own is traced sample by sample where that does not fit.
    if length is None or return_complex or onesided is False:
        return NotImplemented
    win_length = n_fft if win_length is None else win_length
    hop = n_fft // 4 if hop_length is None else hop_length
    window = x.real.new_ones(win_length) if window is None else window
    left = (n_fft - win_length) // 2
    window = F.pad(window, (left, n_fft - win_length - left))
    norm = "ortho" if normalized else "backward"
    frames = torch.fft.irfft(x.transpose(-1, -2), n_fft, norm=norm) * window
    start = n_fft // 2 if center else 0
    count = frames.shape[-2]

    def overlapped(frames: Tensor, beyond: float) -> Tensor:
        """Frames [..., T, n_fft] added up, and what is behind the last: [..., length]."""
        sizes = [*frames.shape[:-2], n_fft + hop * (count - 1)]
        y = torch.ops.aten.unfold_backward(frames, sizes, frames.dim() - 2, n_fft, hop)
        rest = y.new_full([*frames.shape[:-2], length], beyond)
        return torch.cat([y, rest], -1)[..., start : start + length]

    return overlapped(frames, 0.0) / overlapped(window.square().expand(count, n_fft), 1.0)


def _tensor_split(x: Tensor, indices_or_sections: Any = None, dim: int = 0, **named: Any) -> Any:
    size, count = x.shape[dim], named.get("sections", indices_or_sections)
    if not isinstance(size, SymInt) or not isinstance(count, int):
        return NotImplemented
    return x.split([(size + count - 1 - i) // count for i in range(count)], dim)


def _take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Any:
    if dim is None or not any(isinstance(size, SymInt) for size in x.shape):
        return NotImplemented
    axis = dim % x.dim()
    sizes = [_broadcast(a, b) for a, b in zip(x.shape, indices.shape, strict=True)]
    x, indices = (
        y.expand([*sizes[:axis], y.shape[axis], *sizes[axis + 1 :]]) for y in (x, indices)
    )
    return x.gather(axis, indices)


def _broadcast(size: Any, other: Any) -> Any:
    return other if isinstance(size, int) and size == 1 else size


def _kron(x: Tensor, other: Tensor) -> Any:
    symbolic = any(isinstance(size, SymInt) for size in (*x.shape, *other.shape))
    if not symbolic or x.dim() != other.dim():
        return NotImplemented
    rank = x.dim()
    sizes = [a * b for a, b in zip(x.shape, other.shape, strict=True)]
    columns = x[(slice(None), None) * rank]
    rows = other[(None, slice(None)) * rank]
    return (columns * rows).reshape(sizes)


def _embedding_bag(
    x: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,  # noqa: ARG001  (of max_norm)
    scale_grad_by_freq: bool = False,  # noqa: ARG001  (of gradients)
    mode: str = "mean",
    sparse: bool = False,  # noqa: ARG001  (of gradients)
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,  # noqa: ARG001  (of offsets)
    padding_idx: int | None = None,
) -> Any:
    plain = offsets is None and max_norm is None and padding_idx is None
    if not plain or x.dim() != 2 or not any(isinstance(size, SymInt) for size in x.shape):
        return NotImplemented
    found = F.embedding(x, weight)
    if per_sample_weights is not None:
        found = found * per_sample_weights.unsqueeze(-1)
    if mode == "max":
        return found.amax(1)
    count = torch.ones_like(x, dtype=weight.dtype).sum(1, keepdim=True).clamp(min=1)
    return found.sum(1) / count if mode == "mean" else found.sum(1)


def _combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Any:
    # PyTorch's own picks them by masks, so it gives an axis of unknown size.
    count: Any = x.shape[0] if x.dim() == 1 else None
    if not isinstance(count, int) or r < 1:
        return NotImplemented
    choose = combinations_with_replacement if with_replacement else combinations
    places = list(choose(range(count), r))
    return x[torch.tensor(places, dtype=torch.int64).reshape(-1, r)]


def _narrow(x: Tensor, dim: int, start: Any, length: Any) -> Any:
    if not isinstance(start, Tensor):
        return NotImplemented
    first = torch.where(start < 0, start + x.shape[dim], start)
    return x.index_select(dim, first + torch.arange(length))


def _unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """PyTorch's own, which is traced with a wrong shape where the axis is counted from the end."""
    if dim is None or dim >= 0 or x.dim() == 0:
        return NotImplemented
    return torch.unique_consecutive(x, return_inverse, return_counts, dim % x.dim())


def _gaussian_nll_loss(*args: Any, **kwargs: Any) -> Any:
    """PyTorch's own, which raises where a variance is negative: no graph can."""
    with patch.object(torch, "any", lambda *_: False):
        return F.gaussian_nll_loss(*args, **kwargs)


def _linear_cross_entropy(*args: Any, options: Any = None, **kwargs: Any) -> Any:  # noqa: ARG001
    """PyTorch's own, of the whole batch at once."""
    return F.linear_cross_entropy(*args, **kwargs)


def _triangle_indices(upper: bool) -> Callable[..., Any]:
    def indices(row: Any, col: Any, offset: int = 0, *, dtype: Any = None, **where: Any) -> Any:
        if not isinstance(row, SymInt) and not isinstance(col, SymInt):
            return NotImplemented
        full = torch.ones(row, col, device=where.get("device"))
        places = (full.triu(offset) if upper else full.tril(offset)).nonzero().T
        return places if dtype is None else places.to(dtype)

    return indices


#: What stands for each function while tracing, where its sizes are symbols.
REPLACEMENTS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.max_pool1d: _max_pool1d,
    F.max_pool1d: _max_pool1d,
    torch.max_pool2d: _max_pool,
    F.max_pool2d: _max_pool,
    F.avg_pool1d: _avg_pool,
    F.avg_pool2d: _avg_pool,
    F.avg_pool3d: _avg_pool,
    F.adaptive_avg_pool1d: _adaptive_avg_pool1d,
    torch.linspace: _linspace,
    torch.istft: _istft,
    torch.Tensor.istft: _istft,
    torch.combinations: _combinations,
    torch.narrow: _narrow,
    torch.Tensor.narrow: _narrow,
    torch.tril_indices: _triangle_indices(upper=False),
    torch.triu_indices: _triangle_indices(upper=True),
    torch.tensor_split: _tensor_split,
    torch.Tensor.tensor_split: _tensor_split,
    torch.unique_consecutive: _unique_consecutive,
    torch.Tensor.unique_consecutive: _unique_consecutive,
    torch.take_along_dim: _take_along_dim,
    torch.Tensor.take_along_dim: _take_along_dim,
    F.embedding_bag: _embedding_bag,
    F.gaussian_nll_loss: _gaussian_nll_loss,
    F.linear_cross_entropy: _linear_cross_entropy,
    torch.kron: _kron,
    torch.Tensor.kron: _kron,
    **MATRIX_CALLS,
}
