"""An NNEF graph as plain data: what the lowerings build, the passes rewrite and `text` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

__all__ = ["Argument", "Dim", "Graph", "Operation", "Ref", "Variable"]

#: The property with assertions that our engine holds sizes to: `(S / 2) * 2 == S; ...`.
_MULTIPLES = "torchtract.multiples"


@dataclass(frozen=True, slots=True)
class Ref:
    """A use of a tensor of the graph, by its identifier."""

    name: str


@dataclass(frozen=True, slots=True)
class Dim:
    """A dimension that is an expression over the graph's symbols, in tract's syntax: `S * 2`."""

    expression: str


#: What an operation's argument can be. A `str` is printed as a quoted NNEF string.
Argument: TypeAlias = "Ref | Dim | bool | int | float | str | list[Argument] | tuple[Argument, ...]"


@dataclass(slots=True)
class Operation:
    """One line of the graph's body: `outputs = op(**arguments);`.

    Attributes:
        op: the operator's NNEF name.
        arguments: by parameter name, in the order in which they are printed.
        outputs: identifiers that the operation defines; more than one makes a tuple.
        outputs_as_list: print several outputs as `[a, b]`, for operators whose one
            result is a list of tensors (`split`, `tract_core_scan`).
        module: path of the PyTorch module it comes from (`encoder.layers.0`), "" for the root.
    """

    op: str
    arguments: dict[str, Argument]
    outputs: tuple[str, ...]
    outputs_as_list: bool = False
    module: str = ""

    def references(self) -> Iterator[Ref]:
        """Every use of a tensor among the arguments."""
        return _references(list(self.arguments.values()))


@dataclass(frozen=True, slots=True)
class Variable:
    """A tensor stored beside the graph, one `.dat` file.

    Attributes:
        label: its name in the archive, as in the `state_dict` (`encoder.layers.0.weight`).
        datum_type: tract's name of the element type (`f32`, `i64`, `bool` ...).
        shape: its sizes.
        load: gives its values, C-contiguous, when they are written and not before.
        block_quant: how its values are stored: "" for as they are, or one of `FORMATS` of
            `torchtract.nnef.block_quant`.
    """

    label: str
    datum_type: str
    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]
    block_quant: str = ""


@dataclass(slots=True)
class Graph:
    """A whole NNEF document and the tensors it refers to.

    Attributes:
        name: identifier of the graph (`graph name(inputs) -> (outputs)`).
        inputs: identifiers of the inputs, each defined by an `external` operation.
        outputs: identifiers of the results.
        operations: the body, in an order in which each tensor is defined before it is used.
        variables: by identifier; each is printed as a `variable` operation ahead of its use.
        symbols: declared by `extension tract_symbol`, in order.
        extensions: further extension lines, without the word `extension` and the semicolon
            (`tract_assert S >= 1`).
        fragments: NNEF text of the fragments that the body calls, by name.
        properties: metadata, written as `tract_core_properties`.
    """

    name: str = "network"
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    symbols: list[str] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    fragments: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)

    def says_the_same_as(self, other: Graph) -> bool:
        """Whether both compute the same from the same inputs, whatever their tensors are called."""
        if self._without_names() != other._without_names():
            return False
        ours, theirs = ({v.label: v for v in g.variables.values()} for g in (self, other))
        return ours.keys() == theirs.keys() and all(
            ours[label].load == theirs[label].load
            or _same_values(ours[label].load(), theirs[label].load())
            for label in ours
        )

    def _without_names(self) -> list[object]:
        """The body with each tensor called by its label or by the operation that defines it."""
        names = {name: f"variable {v.label}" for name, v in self.variables.items()}
        body: list[object] = []
        for number, operation in enumerate(self.operations):
            names |= {o: f"tensor {number}.{i}" for i, o in enumerate(operation.outputs)}
            body.append((operation.op, _called(list(operation.arguments.items()), names)))
        return [*body, [names[o] for o in self.outputs]]

    def assert_multiple(self, assertion: str) -> None:
        """Add an assertion that can't be an extension: `2 * (S / 2) == S`. Once is enough."""
        known = self.properties.get(_MULTIPLES, "")
        assertions = dict.fromkeys([*known.split("; "), assertion])
        self.properties[_MULTIPLES] = "; ".join(filter(None, assertions))

    def rename(self, old: str, new: str, start: int = 0) -> None:
        """Give a tensor another identifier, in the operations from `start` on."""
        for operation in self.operations[start:]:
            operation.outputs = tuple(new if o == old else o for o in operation.outputs)
            operation.arguments = {k: _renamed(v, old, new) for k, v in operation.arguments.items()}


def _same_values(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same bits; without a look at them where it is one array."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    one = a.ctypes.data == b.ctypes.data and a.strides == b.strides
    return one or a.tobytes() == b.tobytes()


def _called(argument: object, names: dict[str, str]) -> object:
    if isinstance(argument, Ref):
        return Ref(names[argument.name])
    if isinstance(argument, (list, tuple)):
        return [_called(part, names) for part in argument]
    return argument


def _references(argument: Argument) -> Iterator[Ref]:
    if isinstance(argument, Ref):
        yield argument
    elif isinstance(argument, (list, tuple)):
        for part in argument:
            yield from _references(part)


def _renamed(argument: Argument, old: str, new: str) -> Argument:
    if isinstance(argument, Ref):
        return Ref(new) if argument.name == old else argument
    if isinstance(argument, list):
        return [_renamed(a, old, new) for a in argument]
    if isinstance(argument, tuple):
        return tuple(_renamed(a, old, new) for a in argument)
    return argument
