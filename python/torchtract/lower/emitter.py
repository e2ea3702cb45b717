"""Operations and constants as they go into the graph: named, typed, and written once."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import sympy
import torch

from torchtract.errors import FormatError
from torchtract.lower.dims import dim_text
from torchtract.lower.dtypes import datum_type
from torchtract.lower.scalars import computed_scalar, is_whole
from torchtract.lower.simplify import Bounds
from torchtract.lower.value import Fact, Size, Value, size_of
from torchtract.nnef import (
    Argument,
    Dim,
    Graph,
    Names,
    Operation,
    Ref,
    Variable,
    identifier,
    schema,
)
from torchtract.nnef.schema import parameters_of

__all__ = ["Emitter"]

#: Operations that give something else each time they stand in a graph.
_SOURCES = frozenset({"tract_core_external", "tract_onnx_random"})

#: Operations that make nothing but what is in their first argument.
_UNIFORM = frozenset(
    {"reshape", "slice", "squeeze", "tract_core_broadcast", "tract_core_cast"}
    | {"tract_core_dyn_slice", "transpose", "unsqueeze"}
)


class Emitter:
    """Writes operations, constants and fragments into a graph.

    Attributes:
        graph: what is being built.
        results: element type and shape of each output of the aten call being lowered.
        version: the oldest tract that must read the graph.
        random: whether it may draw random numbers.
        bounds: the least and the greatest size of symbols that have such.
        multiples: symbols that are known to be multiples, and stand as `8 * (S / 8)` in sizes.
        inputs: the graph's inputs.
    """

    def __init__(
        self,
        graph: Graph,
        names: Names,
        symbols: Mapping[sympy.Symbol, str],
        version: str = schema.EMBEDDED,
        bounds: Bounds | None = None,
        multiples: Set[sympy.Expr] = frozenset(),
        *,
        random: bool = False,
    ) -> None:
        self.graph = graph
        self.version = version
        self.random = random
        self.bounds = bounds or {}
        self.multiples = multiples
        self.results: tuple[Fact, ...] = ()
        self.inputs: list[Value] = []
        self._names = names
        self._symbols = dict(symbols)
        self._counts: dict[str, sympy.Symbol] = {}  # of tensors by name: see count_of
        self._counted: dict[sympy.Symbol, Value] = {}
        self._lengths: dict[str, sympy.Symbol] = {}  # of numbers by name: see length_of
        self._measured: dict[sympy.Symbol, Value] = {}
        self._read: dict[sympy.Basic, Value] = {}
        self._module = ""
        self._stem = ""
        self._start = 0
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._shared: set[str] = set()  # names of scalars, which other calls may use too
        self._data: dict[str, torch.Tensor] = {}  # of constants, by name
        self._emitted: dict[str, tuple[Value, ...]] = {}
        self._fresh: list[str] = []  # keys of what the call being lowered has emitted

    def enter(self, stem: str, module: str, results: tuple[Fact, ...]) -> None:
        """Say whose operations come next: name of the call, its module, what it gives."""
        self._stem, self._module, self.results = stem, module, results
        self._start = len(self.graph.operations)
        self._fresh = []

    def leave(self, outputs: Sequence[Value]) -> tuple[Value, ...]:
        """The call's outputs, those that its own operations made renamed after the call."""
        made = {o for op in self.graph.operations[self._start :] for o in op.outputs}
        made -= self._shared
        renamed: dict[str, str] = {}
        for value in outputs:
            if value.name in made and value.name not in renamed:
                renamed[value.name] = self._names.unique(self._stem)
                self.graph.rename(value.name, renamed[value.name], self._start)
        for key in self._fresh:
            self._emitted[key] = tuple(_renamed(v, renamed) for v in self._emitted[key])
        return tuple(_renamed(value, renamed) for value in outputs)

    @property
    def result(self) -> Fact:
        """Element type and shape of the call's only output."""
        return self.results[0]

    # Operations by name.

    def emit(
        self,
        op: str,
        *operands: Any,
        like: Fact | None = None,
        **attributes: Any,
    ) -> Value:
        """One operation with one result.

        Args:
            op: its NNEF name, or that of a fragment.
            operands: its first arguments, in the schema's order.
            like: element type and shape of the result, by default the first operand's.
            attributes: further arguments by name. `None` leaves one out.

        Raises:
            FormatError: tract has no such operator, or none with such a parameter.
        """
        fact = like or next(o for o in operands if isinstance(o, Value))
        return self.emit_many(op, *operands, results=[fact], **attributes)[0]

    def emit_many(
        self,
        op: str,
        *operands: Any,
        results: Sequence[Fact],
        outputs_as_list: bool = False,
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """One operation with any number of results; see `emit`.

        An operation that is in the graph already is not written a second time.
        """
        parameters = self._parameters(op)
        attributes = {name: value for name, value in attributes.items() if value is not None}
        if len(operands) > len(parameters) or not attributes.keys() <= set(parameters):
            raise FormatError(
                f"{op}({', '.join(parameters)}): can't be called with {len(operands)} operands and "
                f"{', '.join(attributes) or 'no attributes'}; these are its parameters."
            )
        named = dict(zip(parameters, operands, strict=False)) | attributes
        arguments = {k: self._argument(v) for k, v in named.items() if v is not None}
        key = repr((op, arguments, [(fact.dtype, fact.shape) for fact in results]))
        if key not in self._emitted or op in _SOURCES:
            given = self._append(op, arguments, results, outputs_as_list)
            strided = "stride" in attributes
            self._emitted[key] = tuple(map(self._in_divisions, given)) if strided else given
            self._fresh.append(key)
        return self._emitted[key]

    def _in_divisions(self, x: Value) -> Value:
        """The same, for tract too `4 * (S / 8)`: of a stride it says `(1 + 8 * (S / 8)) / 2`."""
        for axis, size in enumerate(x.shape):
            if isinstance(size, sympy.Expr) and not self.multiples.isdisjoint(size.free_symbols):
                x = self.emit("tract_core_dyn_slice", x, 0, size, size, axis, like=x)
        return x

    def _parameters(self, op: str) -> Sequence[str]:
        if op not in self.graph.fragments:
            return parameters_of(op)
        declared = self.graph.fragments[op].partition("->")[0]
        return re.findall(r"[(,]\s*(\w+)\s*:", declared)

    def _append(
        self,
        op: str,
        arguments: dict[str, Argument],
        results: Sequence[Fact],
        outputs_as_list: bool = False,
    ) -> tuple[Value, ...]:
        suffix = op.removeprefix("tract_core_").removeprefix("tract_")
        names = tuple(self._names.unique(f"{self._stem}_{suffix}") for _ in results)
        self.graph.operations.append(
            Operation(op, arguments, names, outputs_as_list, module=self._module)
        )
        return tuple(
            Value(f.dtype, tuple(f.shape), name) for f, name in zip(results, names, strict=True)
        )

    def copy(self, x: Value) -> Value:
        """The same tensor under a name of its own."""
        arguments = {"input": self._argument(x), "to": datum_type(x.dtype)}
        return self._append("tract_core_cast", arguments, [x])[0]

    def unusable(self, like: Fact, reason: str) -> Value:
        """A result that a call can't give, refused for this reason where something uses it."""
        return Value(like.dtype, like.shape, unusable=reason)

    def assert_multiple(self, multiple: Size, size: Size) -> None:
        """Let the model refuse sizes at which PyTorch raises: `2 * (S // 2)` has to equal S.

        A property says so. As a `tract_assert` it lets tract's optimiser run without end (0.23.9).
        """
        texts = [dim_text(side, self._symbols) for side in (multiple, size)]
        self.graph.assert_multiple(" == ".join(texts))

    def maker(self, name: str) -> Operation | None:
        """The operation that gives a tensor, None for an input or a constant."""
        operations = reversed(self.graph.operations)
        return next((op for op in operations if name in op.outputs), None)

    def uniform(self, x: Value) -> float | None:
        """The number that all elements of a tensor are, if that is known."""
        known, name = x.known, x.name
        while known is None:
            operation = self.maker(name)
            if operation is None or operation.op not in _UNIFORM:
                return None
            source = next(iter(operation.arguments.values()))
            if not isinstance(source, Ref):
                return float(source) if isinstance(source, (int, float)) else None
            name, known = source.name, self._data.get(source.name)
        known = known.flatten()
        return float(known[0]) if len(known) and bool((known == known[0]).all()) else None

    def count_of(self, x: Value) -> sympy.Symbol:
        """How many elements of a tensor are not zero: a symbol that no input binds, but a run."""
        if x.name not in self._counts:
            self._counts[x.name] = symbol = self._symbol_of_a_run("count")
            self._counted[symbol] = x
        return self._counts[x.name]

    def length_of(self, number: Value) -> sympy.Symbol:
        """A size that a run computes as a rank-0 tensor: a symbol like those of `count_of`."""
        if number.name not in self._lengths:
            self._lengths[number.name] = symbol = self._symbol_of_a_run("length")
            self._measured[symbol] = number
        return self._lengths[number.name]

    def _symbol_of_a_run(self, kind: str) -> sympy.Symbol:
        name = self._names.unique(f"{self._stem}_{kind}")
        symbol = sympy.Symbol(name, integer=True, nonnegative=True)
        self._symbols[symbol] = name
        self.graph.symbols.append(name)
        return symbol

    def counted(self, size: Size) -> Value | None:
        """The tensor of which a size is the count, if it is one."""
        return self._counted.get(size) if isinstance(size, sympy.Symbol) else None

    def measured(self, size: Size) -> Value | None:
        """The number that a size is, if a run computes it: see `length_of`."""
        return self._measured.get(size) if isinstance(size, sympy.Symbol) else None

    @property
    def counts(self) -> set[str]:
        """Names of all such symbols."""
        return {self._symbols[symbol] for symbol in (*self._counted, *self._measured)}

    def is_counted(self, size: Size) -> bool:
        """Whether a size depends on such a symbol, so on the data."""
        names = {self._symbols.get(s) for s in getattr(size, "free_symbols", ())}
        return not self.counts.isdisjoint(names)

    def note_read(self, symbol: sympy.Basic, x: Value) -> None:
        """Say that Python code read this number from a tensor of one element."""
        self._read[symbol] = x

    def read(self, number: Size | None) -> Value | None:
        """The tensor that Python code read a number from, if it did."""
        return self._read.get(number) if isinstance(number, sympy.Symbol) else None

    def fragment(self, stem: str, definition: str) -> str:
        """The name of a fragment: of an earlier one that is defined alike, else a new one.

        Args:
            stem: what its name begins with. It is never called like an operator of tract's,
                which it would stand for in the whole graph.
            definition: its NNEF text from the parameters on: `(x: ...) -> (y: ...) {...}`.
        """
        for name, text in self.graph.fragments.items():
            if text == f"fragment {name}{definition}":
                return name
        name = self._names.unique(f"{stem}_fragment" if schema.is_operator(stem) else stem)
        self.graph.fragments[name] = f"fragment {name}{definition}"
        return name

    def _argument(self, value: Any) -> Argument:
        match value:
            case Value():
                return Ref(value.name) if value.literal is None else value.literal
            case sympy.Integer():
                return int(value)
            case sympy.Expr():
                return Dim(dim_text(value, self._symbols))
            case torch.dtype():
                return datum_type(value)
            case bool() | int() | float() | str():
                return value
            case tuple():
                return tuple(self._argument(v) for v in value)
            case list():
                return [self._argument(v) for v in value]
        raise TypeError(f"{value!r} can't be an argument of an NNEF operation")

    # Constants.

    def constant(
        self,
        tensor: torch.Tensor,
        label: str = "",
        load: Callable[[], np.ndarray] | None = None,
    ) -> Value:
        """A tensor known at export: a literal for most scalars, else a `.dat` file.

        Args:
            tensor: its values, or what has its type and shape.
            label: its name in the `state_dict`, "" if it is in none.
            load: gives its values when they are written, where the tensor does not hold them.
        """
        tensor = tensor.resolve_conj().resolve_neg()  # such a view has the address of its base
        if tensor.is_complex():
            real, imag = (part.contiguous() for part in (tensor.real, tensor.imag))
            value = self.constant(real, f"{label}.real" if label else "")
            imag_value = self.constant(imag, f"{label}.imag" if label else "")
            return dataclasses.replace(value, dtype=tensor.dtype, imag=imag_value)
        if tensor.dim() == 0 and not label:
            return self.scalar(tensor.item(), tensor.dtype)
        key = ("tensor", tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() == 0 or key not in self._constants:
            self._constants[key] = self._variable(tensor, label, load)
        return self._constants[key]

    def _variable(
        self, tensor: torch.Tensor, label: str, load: Callable[[], np.ndarray] | None = None
    ) -> Value:
        name = self._names.unique(identifier(label or f"{self._stem}_constant"))
        data = tensor.detach()
        kind, shape = datum_type(data.dtype), tuple(data.shape)
        values = load or (lambda: _array(data))
        self.graph.variables[name] = Variable(label or name, kind, shape, values)
        if load is not None:
            return Value(data.dtype, shape, name)
        self._data[name] = data
        return Value(data.dtype, tuple(data.shape), name, data=data)

    def scalar(self, number: Any, dtype: torch.dtype) -> Value:
        """A number as a rank-0 tensor of this type.

        Args:
            number: a Python number, a size (an expression over symbols), or a number or
                condition that is computed from sizes.
        """
        number = size_of(number)
        if isinstance(number, sympy.Basic) and number.free_symbols:
            symbolic = number if is_whole(number) else computed_scalar(self, number)
            return self.emit("tract_core_cast", symbolic, like=Fact(dtype, ()), to=dtype)
        if isinstance(number, sympy.Basic):
            number = bool(number) if number.is_Boolean else float(number)
        if dtype == torch.bool:
            return Value(dtype, (), literal=bool(number))
        if dtype == torch.float32 and not math.isnan(number):
            return Value(dtype, (), literal=float(number))
        key = ("scalar", repr(number), dtype)
        if key not in self._constants:
            self._constants[key] = self._typed_scalar(number, dtype)
            self._shared.add(self._constants[key].name)
        return self._constants[key]

    def _typed_scalar(self, number: Any, dtype: torch.dtype) -> Value:
        small = not dtype.is_complex and math.isfinite(number) and abs(number) < 2**31
        if small and not (dtype == torch.float64 and not float(number).is_integer()):
            literal = float(number) if dtype.is_floating_point else int(number)
            value = self.emit("tract_core_cast", literal, like=Fact(dtype, ()), to=dtype)
            return dataclasses.replace(value, data=torch.tensor(number, dtype=dtype))
        return self._variable(torch.tensor(number, dtype=dtype), "")


def _renamed(value: Value, names: Mapping[str, str]) -> Value:
    view = value.view
    if view is not None:
        base = dataclasses.replace(view.base, name=names.get(view.base.name, view.base.name))
        view = dataclasses.replace(view, base=base)
    imag = value.imag and _renamed(value.imag, names)
    return dataclasses.replace(value, name=names.get(value.name, value.name), view=view, imag=imag)


def _array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's values as a C-contiguous numpy array, without a copy where possible."""
    return tensor.cpu().resolve_conj().resolve_neg().contiguous().numpy()
