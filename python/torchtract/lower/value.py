"""What lowerings handle: tensors of the graph under construction, and sizes with symbols."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import sympy
import torch

from torchtract.lower.simplify import simplest

if TYPE_CHECKING:
    from torchtract.lower.views import View

__all__ = ["Fact", "Size", "Value", "broadcast_shapes", "fact_of", "size_of", "volume"]

#: A size along one axis: a number, or an expression over the model's symbols.
Size: TypeAlias = "int | sympy.Expr"


@dataclass(frozen=True)
class Fact:
    """Element type and shape of a tensor."""

    dtype: torch.dtype
    shape: tuple[Size, ...]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def of(self, *, dtype: torch.dtype | None = None, shape: Sequence[Size] | None = None) -> Fact:
        """The same with another element type or shape."""
        return Fact(dtype or self.dtype, self.shape if shape is None else tuple(shape))


@dataclass(frozen=True, eq=False)
class Value(Fact):
    """A tensor of the graph: something an operation can take.

    Attributes:
        name: its identifier, "" for a literal.
        literal: the number itself, for a scalar that is written into the text.
        data: its values, for weights and other constants that are known at export.
        view: how it was made from an earlier tensor by rearranging elements, if it was.
        imag: the imaginary part of a tensor of complex numbers, of which all else here but
            the element type is the real part's. tract gets the parts as two tensors.
        unusable: why no other call may take it, for a result that can't be given.
    """

    name: str = ""
    literal: bool | float | None = None
    data: torch.Tensor | None = None
    view: View | None = None
    imag: Value | None = None
    unusable: str = ""

    @property
    def known(self) -> torch.Tensor | None:
        """Its values, if they are known at export."""
        if self.literal is not None:
            return torch.tensor(self.literal, dtype=self.dtype)
        return self.data

    @property
    def real(self) -> Value:
        """The real part of a tensor of complex numbers."""
        return dataclasses.replace(self, dtype=self.dtype.to_real(), imag=None)


def size_of(size: Any) -> Size:
    """A size as torch gives it (int, SymInt or sympy), simplified, as a number where it is one."""
    if isinstance(size, torch.SymInt):
        size = size.node.expr
    if isinstance(size, sympy.Basic):
        size = simplest(size)
    return int(size) if isinstance(size, (int, sympy.Integer)) else size


def fact_of(tensor: torch.Tensor) -> Fact:
    """Element type and symbolic shape of a (fake) tensor."""
    return Fact(tensor.dtype, tuple(size_of(s) for s in tensor.shape))


def volume(sizes: Sequence[Size]) -> Size:
    """Number of elements."""
    product = sympy.Integer(1)
    for size in sizes:
        product = product * size
    return size_of(product)


def broadcast_shapes(*shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The shape that tensors of these shapes have together, aligned at the last axis.

    Sizes that differ and are not 1 are equal in every program that torch accepted, so the
    first of them stands for both.
    """
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((s for s in sizes if s != 1), 1) for sizes in zip(*padded, strict=True))
