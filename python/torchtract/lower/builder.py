"""The builder that lowerings emit NNEF through: one method for each primitive they share.

It keeps element types and symbolic shapes, aligns ranks as PyTorch broadcasts (at the last
axis), and leaves out operations that would change nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import sympy
import torch

from torchtract.lower.checks import Refusal
from torchtract.lower.dims import dim_text
from torchtract.lower.dtypes import common_dtype, datum_type
from torchtract.lower.value import Fact, Size, Value, broadcast_shapes, size_of
from torchtract.lower.views import View
from torchtract.nnef import Argument, Dim, Graph, Names, Operation, Ref, Variable, identifier
from torchtract.nnef.schema import parameters_of

__all__ = ["Builder", "Operand"]

#: What elementwise lowerings get: a tensor, or a Python number of the call.
Operand = Value | bool | int | float


class Builder:
    """Emits operations into a graph.

    Attributes:
        graph: what is being built.
        results: element type and shape of each output of the aten call being lowered.
    """

    def __init__(self, graph: Graph, names: Names, symbols: Mapping[sympy.Symbol, str]) -> None:
        self.graph = graph
        self.results: tuple[Fact, ...] = ()
        self._names = names
        self._symbols = symbols
        self._module = ""
        self._stem = ""
        self._start = 0
        self._constants: dict[tuple[Any, ...], Value] = {}

    def enter(self, stem: str, module: str, results: tuple[Fact, ...]) -> None:
        """Say whose operations come next: name of the call, its module, what it gives."""
        self._stem, self._module, self.results = stem, module, results
        self._start = len(self.graph.operations)

    def leave(self, outputs: Sequence[Value]) -> tuple[Value, ...]:
        """The call's outputs, those that its own operations made renamed after the call."""
        made = {o for op in self.graph.operations[self._start :] for o in op.outputs}
        made -= {constant.name for constant in self._constants.values()}  # used by others
        renamed: dict[str, str] = {}
        for value in outputs:
            if value.name in made and value.name not in renamed:
                renamed[value.name] = self._names.unique(self._stem)
                self.graph.rename(value.name, renamed[value.name], self._start)
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
            op: its NNEF name.
            operands: its first arguments, in the schema's order.
            like: element type and shape of the result, by default the first operand's.
            attributes: further arguments by name. `None` leaves one out.
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
        """One operation with any number of results; see `emit`."""
        parameters = parameters_of(op) if operands else ()
        named = dict(zip(parameters, operands, strict=False)) | attributes
        arguments = {k: self._argument(v) for k, v in named.items() if v is not None}
        suffix = op.removeprefix("tract_core_").removeprefix("tract_")
        names = tuple(self._names.unique(f"{self._stem}_{suffix}") for _ in results)
        self.graph.operations.append(
            Operation(op, arguments, names, outputs_as_list, module=self._module)
        )
        return tuple(
            Value(f.dtype, tuple(f.shape), name) for f, name in zip(results, names, strict=True)
        )

    def fragment(self, stem: str, definition: str) -> str:
        """The name of a fragment: of an earlier one that is defined alike, else a new one.

        Args:
            stem: what its name begins with.
            definition: its NNEF text from the parameters on: `(x: ...) -> (y: ...) {...}`.
        """
        for name, text in self.graph.fragments.items():
            if text == f"fragment {name}{definition}":
                return name
        name = self._names.unique(stem)
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

    def constant(self, tensor: torch.Tensor, label: str = "") -> Value:
        """A tensor known at export: a literal for most scalars, else a `.dat` file."""
        if tensor.dim() == 0 and not label:
            return self.scalar(tensor.item(), tensor.dtype)
        key = ("tensor", tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() == 0 or key not in self._constants:
            self._constants[key] = self._variable(tensor, label)
        return self._constants[key]

    def _variable(self, tensor: torch.Tensor, label: str) -> Value:
        name = self._names.unique(identifier(label or f"{self._stem}_constant"))
        data = tensor.detach()
        self.graph.variables[name] = Variable(
            label or name, datum_type(data.dtype), tuple(data.shape), lambda: _array(data)
        )
        return Value(data.dtype, tuple(data.shape), name, data=data)

    def scalar(self, number: Any, dtype: torch.dtype) -> Value:
        """A number as a rank-0 tensor of this type.

        Args:
            number: a Python number, or a size (an expression over symbols).
        """
        number = size_of(number)
        if isinstance(number, sympy.Expr):
            return self.emit("tract_core_cast", number, like=Fact(dtype, ()), to=dtype)
        if dtype == torch.bool:
            return Value(dtype, (), literal=bool(number))
        if dtype == torch.float32 and not math.isnan(number):
            return Value(dtype, (), literal=float(number))
        key = ("scalar", repr(number), dtype)
        if key not in self._constants:
            self._constants[key] = self._typed_scalar(number, dtype)
        return self._constants[key]

    def _typed_scalar(self, number: Any, dtype: torch.dtype) -> Value:
        small = not dtype.is_complex and math.isfinite(number) and abs(number) < 2**31
        if small and not (dtype == torch.float64 and not float(number).is_integer()):
            literal = float(number) if dtype.is_floating_point else int(number)
            return self.emit("tract_core_cast", literal, like=Fact(dtype, ()), to=dtype)
        return self._variable(torch.tensor(number, dtype=dtype), "")

    def full(self, number: Any, dtype: torch.dtype, shape: Sequence[Size]) -> Value:
        """A tensor with the same number everywhere."""
        return self.broadcast(self.scalar(number, dtype), shape)

    def tensor(self, operand: Operand, dtype: torch.dtype) -> Value:
        """An operand as a tensor of this type."""
        if isinstance(operand, Value):
            return self.cast(operand, dtype)
        return self.scalar(operand, dtype)

    def promote(self, *operands: Operand, dtype: torch.dtype | None = None) -> tuple[Value, ...]:
        """Operands as tensors of one type: the given one, or the one PyTorch computes in."""
        dtype = dtype or common_dtype(*operands)
        return tuple(self.tensor(operand, dtype) for operand in operands)

    # Elementwise.

    def binary(self, op: str, x: Value, y: Value, dtype: torch.dtype | None = None) -> Value:
        """An elementwise operation on two tensors of one type, broadcast as in PyTorch."""
        shape = broadcast_shapes(x.shape, y.shape)
        x, y = self.expand_rank(x, len(shape)), self.expand_rank(y, len(shape))
        return self.emit(op, x, y, like=Fact(dtype or x.dtype, shape))

    def where(self, condition: Value, x: Value, y: Value) -> Value:
        """`x` where the condition holds, else `y`, broadcast as in PyTorch."""
        shape = broadcast_shapes(condition.shape, x.shape, y.shape)
        operands = [self.expand_rank(v, len(shape)) for v in (condition, x, y)]
        return self.emit("select", *operands, like=Fact(x.dtype, shape))

    def cast(self, x: Value, dtype: torch.dtype) -> Value:
        """The tensor in another element type, rounded as PyTorch does."""
        if x.dtype == dtype:
            return x
        if x.literal is not None:
            return self.scalar(torch.tensor(x.literal, dtype=x.dtype).item(), dtype)
        if dtype == torch.bool:
            return self.binary("ne", x, self.scalar(0, x.dtype), torch.bool)
        return self.emit("tract_core_cast", x, like=x.of(dtype=dtype), to=dtype)

    # Shapes.

    def expand_rank(self, x: Value, rank: int) -> Value:
        """Leading axes of size 1 added until the rank is reached. Scalars stay as they are."""
        return x if x.rank == 0 else self.unsqueeze(x, list(range(rank - x.rank)))

    def reshape(self, x: Value, shape: Sequence[Size]) -> Value:
        """The same elements, in the same order, in another shape.

        Only the axes between the first and the last that differ are rewritten.
        """
        old, new = list(x.shape), list(shape)
        if old == new:
            return x
        start = 0
        while start < min(len(old), len(new)) and old[start] == new[start]:
            start += 1
        end = 0
        while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
            end += 1
        part = new[start : len(new) - end]
        if not part:  # tract reads no empty list
            return self.squeeze(x, list(range(start, len(old) - end)))
        return self._rearrange(
            x,
            View.of(x).reshape(new),
            "reshape",
            like=x.of(shape=new),
            shape=part,
            axis_start=start,
            axis_count=len(old) - end - start,
        )

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """Axes in another order."""
        if list(axes) == sorted(axes):
            return x
        like = x.of(shape=[x.shape[a] for a in axes])
        return self._rearrange(
            x, View.of(x).transpose(axes), "transpose", like=like, axes=list(axes)
        )

    def unsqueeze(self, x: Value, axes: Sequence[int]) -> Value:
        """Axes of size 1 added, counted in the result."""
        if not axes:
            return x
        shape = list(x.shape)
        for axis in sorted(axes):
            shape.insert(axis, 1)
        view = View.of(x).unsqueeze(axes)
        return self._rearrange(x, view, "unsqueeze", like=x.of(shape=shape), axes=list(axes))

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        """Axes of size 1 removed."""
        if not axes:
            return x
        shape = [s for a, s in enumerate(x.shape) if a not in axes]
        view = View.of(x).squeeze(axes)
        return self._rearrange(x, view, "squeeze", like=x.of(shape=shape), axes=list(axes))

    def _rearrange(
        self, x: Value, view: View | None, op: str, like: Fact, **attributes: Any
    ) -> Value:
        """One more operation, or the whole view from its base where that takes no more."""
        if view is None or x.literal is not None:
            return self.emit(op, x, like=like, **attributes)
        if view.cost <= view.depth + 1 and view.depth > 0:
            return self._view(view, like)
        value = self.emit(op, x, like=like, **attributes)
        return dataclasses.replace(value, view=dataclasses.replace(view, depth=view.depth + 1))

    def _view(self, view: View, like: Fact) -> Value:
        """A view made from its base: split, reordered and merged."""
        split, order, _ = view.steps()
        value = view.base
        if order != sorted(order):
            value = self.reshape(dataclasses.replace(value, view=None), split)
            value = self.transpose(dataclasses.replace(value, view=None), order)
        value = self.reshape(dataclasses.replace(value, view=None), like.shape)
        return dataclasses.replace(value, view=dataclasses.replace(view, depth=view.cost))

    def broadcast(self, x: Value, shape: Sequence[Size]) -> Value:
        """Axes of size 1 repeated, leading axes added."""
        if tuple(shape) == x.shape:
            return x
        x = self.unsqueeze(x, list(range(len(shape) - x.rank)))
        if tuple(shape) == x.shape:
            return x
        return self.emit("tract_core_broadcast", x, list(shape), like=x.of(shape=shape))

    def slice(self, x: Value, axis: int, begin: Size, end: Size) -> Value:
        """Elements from `begin` to the one before `end` along an axis."""
        if begin == 0 and end == x.shape[axis]:
            return x
        count = size_of(sympy.sympify(end - begin))
        like = x.of(shape=[*x.shape[:axis], count, *x.shape[axis + 1 :]])
        of_base = View.of(x).slice_of_base(axis) if x.view else None
        if of_base is not None and x.view is not None:
            base_axis, step = of_base
            base = self.slice(x.view.base, base_axis, begin * step, end * step)
            return self._view(x.view.on(base, axis, count), like)
        if isinstance(x.shape[axis], int):
            return self.emit("slice", x, like=like, axes=[axis], begin=[begin], end=[end])
        # Older versions of tract don't know how long a slice of a symbolic axis is.
        return self.emit("tract_core_dyn_slice", x, begin, end, count, axis, like=like)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Tensors of one type joined along an axis."""
        if len(values) == 1:
            return values[0]
        total = size_of(sum((sympy.sympify(v.shape[axis]) for v in values), sympy.Integer(0)))
        first = values[0]
        like = first.of(shape=[*first.shape[:axis], total, *first.shape[axis + 1 :]])
        return self.emit("concat", list(values), like=like, axis=axis)

    # Sums and products.

    def reduce(
        self, op: str, x: Value, axes: Sequence[int], keepdim: bool = False, **attributes: Any
    ) -> Value:
        """A reduction over axes, which are kept with size 1 or dropped."""
        if not axes:
            return x
        shape = [1 if a in axes else s for a, s in enumerate(x.shape)]
        reduced = self.emit(op, x, like=x.of(shape=shape), axes=sorted(axes), **attributes)
        return reduced if keepdim else self.squeeze(reduced, sorted(axes))

    def einsum(self, equation: str, *values: Value) -> Value:
        """Einstein's summation, `"bij,bjk->bik"`, with one letter for each axis."""
        inputs, output = equation.split("->")
        sizes: dict[str, Size] = {}
        for letters, value in zip(inputs.split(","), values, strict=True):
            for letter, size in zip(letters, value.shape, strict=True):
                if sizes.get(letter, 1) == 1:
                    sizes[letter] = size
        dtype = values[0].dtype
        if not (dtype.is_floating_point or dtype in (torch.int32, torch.int64)):
            raise Refusal(f"tract has no matrix product of {dtype}")
        return self.emit(
            "tract_core_einsum",
            list(values),
            like=Fact(dtype, tuple(sizes[letter] for letter in output)),
            expr=equation,
            acc=datum_type(dtype),
        )


def _renamed(value: Value, names: Mapping[str, str]) -> Value:
    view = value.view
    if view is not None:
        base = dataclasses.replace(view.base, name=names.get(view.base.name, view.base.name))
        view = dataclasses.replace(view, base=base)
    return dataclasses.replace(value, name=names.get(value.name, value.name), view=view)


def _array(tensor: torch.Tensor) -> Any:
    """The tensor's values as a C-contiguous numpy array, without a copy where possible."""
    tensor = tensor.cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
