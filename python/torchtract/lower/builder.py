"""The builder that lowerings emit NNEF through: one method for each primitive they share.

It keeps element types and symbolic shapes, aligns ranks as PyTorch broadcasts (at the last
axis), and leaves out operations that would change nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sympy
import torch

from torchtract.lower.checks import Refusal
from torchtract.lower.dtypes import common_dtype, datum_type
from torchtract.lower.emitter import Emitter
from torchtract.lower.multiples import as_multiples
from torchtract.lower.value import Fact, Size, Value, broadcast_shapes, size_of, volume
from torchtract.lower.views import View

__all__ = ["Builder", "Operand"]

#: What elementwise lowerings get: a tensor, or a Python number of the call.
Operand = Value | bool | int | float


class Builder(Emitter):
    """The primitives that lowerings share, on top of single operations."""

    @contextmanager
    def giving(self, *results: Fact) -> Iterator[None]:
        """Let a lowering see other results than the call's, such as wider numbers or a part."""
        own, self.results = self.results, results
        try:
            yield
        finally:
            self.results = own

    def scalar(self, number: Any, dtype: torch.dtype) -> Value:
        """A number as a rank-0 tensor; how many elements are not zero is counted anew."""
        number = size_of(number)
        counted, measured = self.counted(number), self.measured(number)
        if measured is not None:
            return self.cast(measured, dtype)
        if counted is None:
            return super().scalar(number, dtype)
        ones = self.cast(self.cast(counted, torch.bool), torch.int64)
        return self.cast(self.reduce("sum_reduce", ones, list(range(ones.rank))), dtype)

    def full(self, number: Any, dtype: torch.dtype, shape: Sequence[Size]) -> Value:
        """A tensor with the same number everywhere."""
        return self.broadcast(self.scalar(number, dtype), shape)

    def range(self, start: Size, end: Size, step: int, count: Size) -> Value:
        """The `count` whole numbers `start`, `start + step` ... before `end`, as int64."""
        numbers = self.emit("tract_core_range", start, end, step, like=Fact(torch.int64, (count,)))
        return self.not_followed(numbers)

    def not_followed(self, numbers: Value) -> Value:
        """Whole numbers as they are, where tract doesn't follow them.

        tract 0.23.9 follows positions into comparisons and folds the masks made of them, wrongly
        where sizes are symbols. Behind a bitwise operation it doesn't see them.
        """
        return self.emit("tract_core_bitand", numbers, numbers)

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
        if 0 in new:
            return self.full(0, x.dtype, new)
        x = self._as_multiples(x, new)
        old = list(x.shape)
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

    def _as_multiples(self, x: Value, shape: Sequence[Size]) -> Value:
        """The same elements, of axes whose sizes are seen to be multiples of what `shape` needs.

        A model refuses to run where they are not.
        """
        sizes = as_multiples(x.shape, shape)
        if sizes is None:
            raise Refusal(
                f"it makes {list(x.shape)} to {list(shape)}, and nothing shows that these are as "
                "many elements at all sizes where PyTorch runs"
            )
        return self.cut_to_multiples(x, sizes)

    def cut_to_multiples(self, x: Value, shape: Sequence[Size]) -> Value:
        """The same elements in a shape whose sizes are equal wherever the model runs."""
        for axis, (size, multiple) in enumerate(zip(x.shape, shape, strict=True)):
            if size != multiple:
                self.assert_multiple(multiple, size)
                x = self.slice(x, axis, 0, multiple)
        return x

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

    def fragment_of(
        self, stem: str, parameters: Sequence[str], results: Sequence[str], body: Sequence[str]
    ) -> str:
        """The name of a fragment of tensors, given line by line: see `fragment`."""
        left, right = (
            ", ".join(f"{name}: tensor<scalar>" for name in names)
            for names in (parameters, results)
        )
        lines = "".join(f"  {line};\n" for line in body)
        return self.fragment(stem, f"({left}) -> ({right})\n{{\n{lines}}}")

    def along_last(self, x: Value, act: Callable[[Value], Value]) -> Value:
        """What `act`, which works on the last axis alone, makes of a tensor.

        Where the other axes were rearranged it is done before that: a later rearrangement
        often undoes the earlier one, and then both are gone.
        """
        steps = View.of(x).around_last() if x.rank and x.view else None
        if steps is None:
            return act(x)
        first, second = steps
        y = act(self._view(first, x.of(shape=first.shape)))
        whole = second.on(y, x.rank - 1, y.shape[-1])
        return self._view(whole, y.of(shape=whole.shape))

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
        if count == 0:  # an end of 0 says "all of it" to older versions of tract
            return self.full(0, x.dtype, like.shape)
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
        if 0 in like.shape:  # tract takes slices of nothing for each other
            return self.full(0, like.dtype, like.shape)
        return self.emit("concat", list(values), like=like, axis=axis)

    # Sums and products.

    def reduce(
        self, op: str, x: Value, axes: Sequence[int], keepdim: bool = False, **attributes: Any
    ) -> Value:
        """A reduction over axes, which are kept with size 1 or dropped."""
        if not axes:
            return x
        if op in ("sum_reduce", "mean_reduce") and self.is_counted(x.shape[max(axes)]):
            return self._reduce_none(op, x, axes, keepdim)
        shape = [1 if a in axes else s for a, s in enumerate(x.shape)]
        reduced = self.emit(op, x, like=x.of(shape=shape), axes=sorted(axes), **attributes)
        return reduced if keepdim else self.squeeze(reduced, sorted(axes))

    def _reduce_none(self, op: str, x: Value, axes: Sequence[int], keepdim: bool) -> Value:
        """A sum or mean over a number of elements that may turn out to be 0.

        tract divides by the size of an axis, so one more element is added up, which is 0.
        """
        last = max(axes)
        count = volume([x.shape[axis] for axis in axes])
        none = self.full(0, x.dtype, [1 if a == last else s for a, s in enumerate(x.shape)])
        x = self.concat([x, none], last)
        shape = [1 if a in axes else s for a, s in enumerate(x.shape)]
        total = self.emit("sum_reduce", x, like=x.of(shape=shape), axes=sorted(axes))
        if op == "mean_reduce":
            total = self.binary("div", total, self.scalar(count, x.dtype))
        return total if keepdim else self.squeeze(total, sorted(axes))

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
