"""Packed sequences that stay padded while tracing.

PyTorch packs sequences of several lengths into as many rows as they have frames together, a size
that only the data says. What stands for them here keeps the padded frames beside the lengths, and
a recurrent layer leaves its state alone behind the end of each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import SymInt, Tensor

from torchtract.errors import CaptureError

__all__ = ["pack", "packed", "pad", "padded_frames"]


def _refuse() -> NoReturn:
    raise CaptureError(
        "the shapes of a packed sequence depend on the values of its lengths; use it in "
        "recurrent layers and pad_packed_sequence only, or the padded tensor instead"
    )


class _StandIn:
    """Of a tensor whose shape the data says: only what recurrent layers ask for is known."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse()

    @classmethod
    def __torch_function__(cls, *_: Any) -> Any:
        _refuse()


class _Frames(_StandIn):
    """Stands for the data of a packed sequence.

    Args:
        padded: [T, B, ...].
        padding: what is behind the end of each sequence, None where that is anything.
    """

    def __init__(self, padded: Tensor, padding: float | None = None) -> None:
        self.padded, self.padding = padded, padding
        self.dtype, self.device = padded.dtype, padded.device

    def dim(self) -> int:
        return self.padded.dim() - 1

    def size(self, axis: int) -> int:
        return self.padded.shape[axis] if axis == -1 and self.dim() > 1 else _refuse()


class _Longest(SymInt):
    """The greatest length, which PyTorch asks to be no more than the user's number."""

    def __gt__(self, other: Any) -> bool:
        torch._check(SymInt(self.node) <= other)
        return False


class _Sizes(_StandIn):
    """Stands for how many sequences have each frame.

    Args:
        lengths: of each sequence, int64 [B].
        frames: the number of padded frames, T.
    """

    def __init__(self, lengths: Tensor, frames: int | SymInt) -> None:
        self.lengths, self.frames = lengths, frames
        self.device = torch.device("cpu")  # where PyTorch has it

    def __getitem__(self, frame: int) -> Any:
        return self.lengths.shape[0] if frame == 0 else _refuse()

    def size(self, axis: int) -> Any:
        return self.longest if axis == 0 else _refuse()

    @cached_property
    def longest(self) -> Any:
        longest: Any = self.lengths.max().item()
        torch._check(longest <= self.frames)  # noqa: SLF001
        number: Any = _Longest
        return number(longest.node) if isinstance(longest, SymInt) else longest

    def fill(self, padded: Tensor, value: float) -> Tensor:
        """Padded frames [T, B, ...] with a value behind the end of each sequence."""
        arange: Callable[..., Tensor] = torch.arange
        within = arange(self.frames, device=padded.device)[:, None] < self.lengths
        return torch.where(within[(..., *[None] * (padded.dim() - 2))], padded, value)


def packed(padded: Tensor) -> Any:
    """The stand-in of what a layer made of frames: [T, B, ...], zero behind each end."""
    return _Frames(padded, padding=0.0)


def padded_frames(frames: Any, sizes: Any) -> tuple[Tensor, Tensor]:
    """Padded frames [T, B, ...] and their lengths [B].

    Raises:
        CaptureError: a packed sequence of another kind, such as an input of the model.
    """
    if not isinstance(frames, _Frames) or not isinstance(sizes, _Sizes):
        _refuse()
    return frames.padded, sizes.lengths


def pack(x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Any, Any]:
    """What `torch._pack_padded_sequence` gives, as stand-ins.

    Args:
        x: [T, B, ...], or [B, T, ...] where the batch is first.
        lengths: int64 [B].
        batch_first: which of the two.
    """
    padded = x.transpose(0, 1) if batch_first else x
    return _Frames(padded), _Sizes(lengths, padded.shape[0])


def pad(
    frames: Any, sizes: Any, batch_first: bool, value: float, total: Any
) -> tuple[Tensor, Tensor]:
    """What `torch._pad_packed_sequence` gives: the padded frames, and the lengths.

    Args:
        frames: stand-in of [T, B, ...].
        sizes: stand-in of their sizes.
        batch_first: whether the result is [B, total, ...].
        value: of the padding.
        total: how many frames the result has.

    Raises:
        CaptureError: these are no stand-ins.
    """
    padded, lengths = padded_frames(frames, sizes)
    if frames.padding != value:
        padded = sizes.fill(padded, value)
    if isinstance(total, _Longest):
        padded = padded[: SymInt(total.node)]
    elif not _same(total, sizes.frames):
        more = padded.new_full((total, *padded.shape[1:]), value)
        padded = torch.cat([padded, more])[:total]
    return padded.transpose(0, 1) if batch_first else padded, lengths


def _same(size: Any, other: Any) -> bool:
    """Whether two sizes are one, without a question that would make them so."""
    first, second = (s.node.expr if isinstance(s, SymInt) else s for s in (size, other))
    return bool(first == second)
