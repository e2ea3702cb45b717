"""Chains of reshapes and transposes as one: split axes, reorder the parts, merge them again.

PyTorch's modules say `transpose, view, transpose, view` where one of each would do, since
a view costs nothing there. In tract each is a copy or a barrier to fusion. A `View` knows
a tensor as a rearrangement of an earlier one, so that the builder can start from that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy

from torchtract.lower.value import Size, Value, size_of, volume

__all__ = ["View"]


@dataclass(frozen=True)
class View:
    """A tensor as a rearrangement of a base tensor's elements.

    Attributes:
        base: the tensor that is rearranged.
        atoms: for each axis of the base, the sizes it is split into, outermost first.
        axes: for each axis of the view, the atoms merged in it, as (base axis, position).
        depth: how many operations there are from the base to the tensor.
    """

    base: Value
    atoms: tuple[tuple[Size, ...], ...]
    axes: tuple[tuple[tuple[int, int], ...], ...]
    depth: int = 0

    @classmethod
    def of(cls, value: Value) -> View:
        """How a value was made from an earlier one, or the trivial view of itself."""
        if value.view is not None:
            return value.view
        axes = tuple(((axis, 0),) for axis in range(value.rank))
        return cls(value, tuple((size,) for size in value.shape), axes)

    def size(self, atom: tuple[int, int]) -> Size:
        """How large an atom is."""
        return self.atoms[atom[0]][atom[1]]

    def transpose(self, order: Sequence[int]) -> View:
        """The view with its axes in another order."""
        return replace(self, axes=tuple(self.axes[a] for a in order))

    def unsqueeze(self, positions: Sequence[int]) -> View:
        """The view with axes of size 1 inserted."""
        axes = list(self.axes)
        for position in sorted(positions):
            axes.insert(position, ())
        return replace(self, axes=tuple(axes))

    def squeeze(self, positions: Sequence[int]) -> View | None:
        """The view without some of its axes, or None where they are not plainly empty."""
        removed = [atom for p in positions for atom in self.axes[p]]
        if any(self.size(atom) != 1 for atom in removed):
            return None
        kept = [axis for a, axis in enumerate(self.axes) if a not in positions]
        return replace(self, axes=tuple(kept))

    def reshape(self, shape: Sequence[Size]) -> View | None:
        """The view's elements, in their order, in another shape.

        None where the shape cuts through atoms in a way that no split can express.
        """
        left = [(atom, self.size(atom)) for axis in self.axes for atom in axis]
        pieces: dict[tuple[int, int], list[Size]] = {atom: [] for atom, _ in left}
        axes: list[list[tuple[tuple[int, int], int]]] = []
        for size in shape:
            axis: list[tuple[tuple[int, int], int]] = []
            while size != 1:
                if not left:
                    return None
                atom, available = left.pop(0)
                taken, rest, size = _share(available, size)
                if taken is None:
                    return None
                if taken != 1:
                    axis.append((atom, len(pieces[atom])))
                    pieces[atom].append(taken)
                if rest != 1:
                    left.insert(0, (atom, rest))
            axes.append(axis)
        if any(size != 1 for _, size in left):
            return None
        return self._split(pieces, axes)

    def _split(
        self,
        pieces: dict[tuple[int, int], list[Size]],
        axes: list[list[tuple[tuple[int, int], int]]],
    ) -> View:
        """The view after each atom is replaced by its pieces."""
        atoms: list[tuple[Size, ...]] = []
        position: dict[tuple[tuple[int, int], int], tuple[int, int]] = {}
        for base_axis, sizes in enumerate(self.atoms):
            split: list[Size] = []
            for p, size in enumerate(sizes):
                parts = pieces.get((base_axis, p)) or [size]
                for number in range(len(parts)):
                    position[(base_axis, p), number] = (base_axis, len(split) + number)
                split.extend(parts)
            atoms.append(tuple(split))
        placed = tuple(tuple(position[piece] for piece in axis) for axis in axes)
        return replace(self, atoms=tuple(atoms), axes=placed)

    def slice_of_base(self, axis: int) -> tuple[int, Size] | None:
        """Where a slice of this axis is a slice of the base: its axis, and elements per step."""
        if len(self.axes[axis]) != 1 or self.axes[axis][0][1] != 0:
            return None
        base_axis = self.axes[axis][0][0]
        return base_axis, volume(self.atoms[base_axis][1:])

    def on(self, base: Value, axis: int, size: Size) -> View:
        """The same rearrangement of a slice of the base, which leaves `size` on the axis."""
        base_axis = self.axes[axis][0][0]
        atoms = list(self.atoms)
        atoms[base_axis] = (size, *atoms[base_axis][1:])
        return replace(self, base=base, atoms=tuple(atoms), depth=0)

    def around_last(self) -> tuple[View, View] | None:
        """The view in two steps: one that makes its last axis, one that leaves that alone.

        The first keeps the other atoms in the order of its base, the second has a base of
        that shape and rearranges them. None where there is nothing left for the second.
        """
        groups = self._neighbours([atom for axis in self.axes[:-1] for atom in axis])
        in_base = sorted(groups)
        if [tuple(group) for group in in_base] == list(self.axes[:-1]):
            return None
        first = replace(self, axes=(*map(tuple, in_base), self.axes[-1]))
        places = {group[0]: (number, 0) for number, group in enumerate(in_base)}
        axes = [tuple(places[atom] for atom in axis if atom in places) for axis in self.axes[:-1]]
        last = ((len(groups), 0),)
        return first, View(first.base, tuple((s,) for s in first.shape), (*axes, last))

    @property
    def shape(self) -> tuple[Size, ...]:
        """The view's sizes."""
        return tuple(volume([self.size(atom) for atom in axis]) for axis in self.axes)

    @property
    def cost(self) -> int:
        """Number of operations that make it from the base."""
        split, order, merged = self.steps()
        if order == sorted(order):
            return int(merged != list(self.base.shape))
        return 1 + int(split != list(self.base.shape)) + int(len(merged) != len(split))

    def steps(self) -> tuple[list[Size], list[int], list[Size]]:
        """How to make it from the base: split to a shape, reorder, merge to a shape.

        Atoms that stay neighbours all along are not split, and no atom of size 1 is kept.
        """
        order = [atom for axis in self.axes for atom in axis]
        groups = self._neighbours(order)
        in_base = sorted(range(len(groups)), key=lambda g: groups[g][0])
        split = [volume([self.size(a) for a in groups[g]]) for g in in_base]
        permutation = [in_base.index(g) for g in range(len(groups))]
        return split, permutation, list(self.shape)

    def _neighbours(self, order: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """Runs of atoms that follow each other in the base and within one axis of the view."""
        groups: list[list[tuple[int, int]]] = []
        starts = {axis[0] for axis in self.axes if axis}
        for atom in order:
            previous = groups[-1][-1] if groups else None
            follows = previous == (atom[0], atom[1] - 1)
            if follows and atom not in starts:
                groups[-1].append(atom)
            else:
                groups.append([atom])
        return groups


def _share(available: Size, wanted: Size) -> tuple[Size | None, Size, Size]:
    """How an atom serves a wanted size: what is taken, what is left of it, what is still wanted."""
    if available == wanted:
        return wanted, 1, 1
    still = _quotient(wanted, available)
    if still is not None:
        return available, 1, still
    rest = _quotient(available, wanted)
    if rest is not None:
        return wanted, rest, 1
    return None, 1, 1


def _quotient(a: Size, b: Size) -> Size | None:
    """`a / b` where that is a whole number at all sizes, else None."""
    if b == 0:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a > 0 and a % b == 0 else None
    quotient = sympy.cancel(sympy.sympify(a) / sympy.sympify(b))
    numerator, denominator = sympy.fraction(quotient)
    return size_of(quotient) if denominator == 1 and numerator != 0 else None
