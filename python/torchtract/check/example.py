"""A user's example arguments, and the same values at other sizes of the model's symbols."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

import torch
from torch.utils import _pytree as pytree

from torchtract.errors import ConstantReferenceWarning, RunError
from torchtract.runtime import Model
from torchtract.sizes import Assertion, allowed, evaluate, resize, scenarios_of

__all__ = ["Example"]

#: How many sizes of each symbol are tried, the smallest and the example's among them.
_SIZES_PER_SYMBOL = 3


class Example:
    """Example arguments of a module that was exported to a model.

    Attributes:
        sizes: the size that each symbol has in the example.
    """

    def __init__(self, model: Model, args: Any, kwargs: Mapping[str, Any]) -> None:
        args = (args,) if isinstance(args, torch.Tensor) else tuple(args)
        self._model = model
        self._leaves, self._structure = pytree.tree_flatten((args, dict(kwargs)))
        self._tensors = [i for i, x in enumerate(self._leaves) if isinstance(x, torch.Tensor)]
        if len(self._tensors) != len(model.inputs):
            raise RunError(
                f"args: {len(self._tensors)} tensors don't fit the model, which has "
                f"{len(model.inputs)} inputs ({', '.join(f.name for f in model.inputs)}); "
                "pass the arguments that it was exported with."
            )
        self._assertions = [Assertion.parse(text) for text in model.assertions]
        self.sizes = {
            str(size): self._leaves[i].shape[axis]
            for i, fact in zip(self._tensors, model.inputs, strict=True)
            for axis, size in enumerate(fact.shape)
            if size in model.symbols
        }

    def at(self, sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments at these sizes."""
        args, kwargs = pytree.tree_unflatten(self._resized(sizes), self._structure)
        return args, kwargs

    def with_lengths(
        self, sizes: Mapping[str, int]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The same with lengths brought to these sizes too, None where there are none.

        Lengths are integers, the greatest of which is the size of a symbol that is no axis of
        their own tensor: `[24, 13]` beside 24 frames, the second of them padded from 13 on.
        """
        leaves, found = self._resized(sizes), False
        for i, fact in zip(self._tensors, self._model.inputs, strict=True):
            greatest = self._greatest(i)
            symbols = (s for s, n in self.sizes.items() if n == greatest and s not in fact.shape)
            if (symbol := next(symbols, None)) is not None and leaves[i].numel():
                found = True
                top = leaves[i] == leaves[i].max()
                leaves[i] = leaves[i].clamp(max=sizes[symbol]).where(~top, sizes[symbol])
        args, kwargs = pytree.tree_unflatten(leaves, self._structure)
        return (args, kwargs) if found else None

    def _greatest(self, leaf: int) -> int | None:
        tensor = self._leaves[leaf]
        whole = not (
            tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool
        )
        return int(tensor.max()) if whole and tensor.numel() else None

    def _resized(self, sizes: Mapping[str, int]) -> list[Any]:
        leaves = list(self._leaves)
        for i, fact in zip(self._tensors, self._model.inputs, strict=True):
            symbolic = {axis: s for axis, s in enumerate(fact.shape) if isinstance(s, str)}
            leaves[i] = resize(leaves[i], {a: evaluate(s, sizes) for a, s in symbolic.items()})
        return leaves

    def for_stream(self, symbol: str, length: int) -> dict[str, torch.Tensor]:
        """Inputs by name for a stream: the example's own values at a length of its symbol.

        Where all frames of the example are alike, nothing that a stream gets wrong about time
        would show. Then there is none for inputs of floating-point numbers, whose values are free;
        without any such input, a `ConstantReferenceWarning` tells so.
        """
        args, kwargs = self.at({**self.sizes, symbol: length})
        leaves = pytree.tree_leaves((args, kwargs))
        named = {f.name: leaves[i] for i, f in zip(self._tensors, self._model.inputs, strict=True)}
        axes = {f.name: f.shape.index(symbol) for f in self._model.inputs if symbol in f.shape}
        if any(_changes(named[name], axis) for name, axis in axes.items()):
            return named
        numbers = {n for n, x in named.items() if x.is_floating_point() or x.is_complex()}
        free = [name for name in axes if name in numbers]
        if not free:
            warnings.warn(
                f"check_stream: all frames of the example are alike along {symbol}, so this check "
                "shows little; pass an example with several different frames.",
                ConstantReferenceWarning,
                stacklevel=4,
            )
        return {name: x for name, x in named.items() if name not in free}

    @property
    def allowed(self) -> bool:
        """Whether the model runs at the example's own sizes: they may fit none of its scenarios."""
        return self._allowed(self.sizes)

    def other_sizes(self) -> Iterator[dict[str, int]]:
        """Sizes to try beside the example's own: no two symbols in step, and each scenario."""
        choices = {symbol: self._choices(symbol) for symbol in self.sizes}
        tried = [self.sizes]
        for turn in range(_SIZES_PER_SYMBOL):
            sizes = {
                symbol: options[(turn + shift) % len(options)]
                for shift, (symbol, options) in enumerate(choices.items())
            }
            if sizes not in tried and self._allowed(sizes):
                tried.append(sizes)
                yield sizes
        for scenario in scenarios_of(self._assertions).values():
            if not any(allowed(sizes, scenario) for sizes in tried):
                every = (dict(zip(choices, n, strict=True)) for n in product(*choices.values()))
                fitting = (n for n in every if allowed(n, scenario) and self._allowed(n))
                yield from islice(fitting, 1)

    def _choices(self, symbol: str) -> list[int]:
        own = self.sizes[symbol]
        # Without a lower bound from the user, an empty axis is not expected to work.
        bounded = not self._allowed({symbol: -max(own, 1)})
        smallest = next(
            (n for n in range(0 if bounded else 1, own) if self._allowed({symbol: n})), own
        )
        near = [own + 1, own + 2, max(own - 1, smallest)]
        wanted = dict.fromkeys([smallest, own, *near, 2 * own])
        return [n for n in wanted if self._allowed({symbol: n})][:_SIZES_PER_SYMBOL]

    def _allowed(self, sizes: Mapping[str, int]) -> bool:
        return allowed(sizes, self._assertions)


def _changes(tensor: torch.Tensor, axis: int) -> bool:
    """Whether its slices along an axis differ."""
    return bool((tensor != tensor.narrow(axis, 0, 1)).any())
