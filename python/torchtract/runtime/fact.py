"""Facts: what is known of an input, an output, or a value between two nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torchtract.runtime.tables import Table

_TRACT_NAMES = {
    "bool": "Bool",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "ComplexF32",
    "complex128": "ComplexF64",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Fact:
    """What is known of an input or an output before the model runs.

    Its ``repr`` is tract's way to write it: ``input: B,3,224,224,F32``.

    Attributes:
        name: its name in the graph.
        dtype: numpy's name of the element type, such as ``"float32"``; tract's, where numpy has
            no such type.
        shape: one entry per axis: an ``int``, or an expression over symbols as a ``str``, such as
            ``"B"`` or ``"(S+3)/4"``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __repr__(self) -> str:
        return f"{self.name}: {self.spec}"

    @property
    def symbols(self) -> set[str]:
        """The symbols in its shape."""
        names = re.findall(r"[^\W\d]\w*", " ".join(map(str, self.shape)))
        return set(names) - {"min", "max"}

    @property
    def spec(self) -> str:
        """Shape and element type as tract writes them: ``B,3,224,224,F32``."""
        return ",".join([*map(str, self.shape), _TRACT_NAMES.get(self.dtype, self.dtype)])


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        name: its name.
        op: the operator's name in tract.
        inputs: names of the nodes it reads.
        outputs: facts of what it gives.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[Fact, ...]

    @classmethod
    def of(
        cls,
        name: str,
        op: str,
        inputs: Iterable[str],
        outputs: Iterable[tuple[str, str, tuple[int | str, ...]]],
    ) -> Node:
        """A node from the native module's description of it."""
        return cls(name, op, tuple(inputs), tuple(Fact(*fact) for fact in outputs))


def describe(
    title: str,
    inputs: tuple[Fact, ...],
    outputs: tuple[Fact, ...],
    symbols: tuple[str, ...] = (),
    assertions: tuple[str, ...] = (),
) -> Table:
    """A table of what a model takes and gives."""
    rows = [
        *(("input", fact.name, fact.spec) for fact in inputs),
        *(("output", fact.name, fact.spec) for fact in outputs),
        *(("symbol", name, "") for name in symbols),
        *(("assertion", "", assertion) for assertion in assertions),
    ]
    return Table(title, ("", "name", "shape and type"), tuple(rows))
