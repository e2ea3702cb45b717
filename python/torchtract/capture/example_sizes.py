"""The sizes at which a module is traced: such that the tracer takes none for a constant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any, Protocol, TypeVar

import sympy
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from torchtract.capture.guards import Guard
from torchtract.errors import CaptureError
from torchtract.sizes import Assertion, allowed

__all__ = ["example_sizes", "traced_where_sizes_differ"]

# At sizes of 0 and 1 operators take shortcuts that others don't have, so none is traced there.
_SMALLEST_TRACED = 2
#: How often sizes are doubled, as networks halve them, and up to how many elements of an input.
_DOUBLINGS = 5
_MOST_ELEMENTS = 1 << 27


class _Traced(Protocol):
    @property
    def program(self) -> ExportedProgram: ...
    @property
    def guards(self) -> Sequence[Guard]: ...
    @property
    def sizes(self) -> Mapping[str, int]: ...
    @property
    def symbols(self) -> Mapping[sympy.Symbol, str]: ...


_T = TypeVar("_T", bound=_Traced)


def example_sizes(
    tensors: Mapping[str, torch.Tensor],
    axes: Mapping[str, Mapping[int, str]],
    assertions: Sequence[Assertion],
) -> dict[str, int]:
    """A size for each symbol: the example's where it can be told apart, else a multiple of it.

    A module may need sizes that a number divides, and refuse small ones. Sizes of 0 and 1, and
    sizes that two symbols share, would be taken for constants or for one symbol by the tracer.
    """
    sizes: dict[str, int] = {}
    for name, symbols in axes.items():
        for axis, symbol in symbols.items():
            wanted = sizes.get(symbol) or tensors[name].shape[axis]
            taken = {s for other, s in sizes.items() if other != symbol}
            near = [*range(wanted + 1, wanted + 64), *range(_SMALLEST_TRACED, 64)]
            candidates = [wanted, 2 * wanted, 3 * wanted, *near]
            fitting = (
                c
                for c in candidates
                if c >= _SMALLEST_TRACED and c not in taken and allowed({symbol: c}, assertions)
            )
            size = next(fitting, None)
            if size is None:
                raise CaptureError(
                    f"dynamic_axes={{{name!r}: {{{axis}: {symbol!r}}}}}: no size of {symbol} "
                    f"could be traced, since the assertions leave none of 2 or more; "
                    "relax them, or leave the axis static."
                )
            sizes[symbol] = size
    return sizes


def traced_where_sizes_differ(
    trace: Callable[[Mapping[str, int]], _T],
    sizes: Mapping[str, int],
    tensors: Mapping[str, torch.Tensor],
    axes: Mapping[str, Mapping[int, str]],
    assertions: Sequence[Assertion],
) -> _T:
    """A module traced at these sizes, or at larger ones as long as an axis shrinks to 1.

    A network that halves an axis five times makes 32 a 1. Operators have rules of their own for
    that, such as broadcasting, which hold at no other size.

    Args:
        trace: traces the module at sizes of all symbols.
        sizes: the first to try.
        tensors: the example inputs.
        axes: per input, the symbol of each dynamic axis.
        assertions: what the sizes obey.

    Raises:
        CaptureError: of the first sizes, where twice these can't be traced either.
    """

    def at_twice(sizes: Mapping[str, int], of: set[str]) -> _T | None:
        larger = _doubled(sizes, of)
        if not of or not allowed(larger, assertions) or not _fit(larger, tensors, axes):
            return None
        try:
            return trace(larger)
        except CaptureError:
            return None

    try:
        found = trace(sizes)
    except CaptureError:
        larger = at_twice(sizes, set(sizes))
        if larger is None:
            raise
        found = larger
    constants = _constants_here(found)
    for _ in range(_DOUBLINGS):
        larger = at_twice(found.sizes, _symbols_of(constants, found))
        if larger is None:
            break
        fewer = _constants_here(larger)
        if len(fewer) >= len(constants):
            break
        found, constants = larger, fewer
    return found


def _constants_here(traced: _Traced) -> set[sympy.Basic]:
    """What an operator took for a number, or would, since it is 1, and isn't at larger sizes."""
    conditions = [guard.condition for guard in traced.guards if not guard.branch]
    found = {c for c in conditions if isinstance(c, sympy.Eq) and c.rhs.is_number}
    for node in traced.program.graph.nodes:
        for value in pytree.tree_leaves(node.meta.get("val")):
            shape: Sequence[Any] = value.shape if isinstance(value, torch.Tensor) else ()
            symbolic = (size.node for size in shape if isinstance(size, torch.SymInt))
            ones = {size.expr for size in symbolic if size.hint == 1}
            found |= {sympy.Eq(expression, 1, evaluate=False) for expression in ones}
    multiples = [
        {s: sympy.Integer(traced.sizes[name] << n) for s, name in traced.symbols.items()}
        for n in range(1, 1 + _DOUBLINGS)
    ]
    # The last position, x[-1:], is one at all sizes, which sympy doesn't see.
    return {c for c in found if any(c.xreplace(sizes) != sympy.true for sizes in multiples)}


def _symbols_of(conditions: Iterable[sympy.Basic], traced: _Traced) -> set[str]:
    found = {symbol for condition in conditions for symbol in condition.free_symbols}
    return {name for symbol, name in traced.symbols.items() if symbol in found}


def _doubled(sizes: Mapping[str, int], of: Collection[str]) -> dict[str, int]:
    """The sizes of these symbols twice as large, or more where another symbol has that size."""
    result = dict(sizes)
    for symbol in of:
        others = {size for other, size in result.items() if other != symbol}
        size = sizes[symbol]
        result[symbol] = next(n * size for n in range(2, 3 + len(sizes)) if n * size not in others)
    return result


def _fit(
    sizes: Mapping[str, int],
    tensors: Mapping[str, torch.Tensor],
    axes: Mapping[str, Mapping[int, str]],
) -> bool:
    """Whether the inputs are small enough at these sizes."""
    shapes = (
        [
            sizes[axes[name][axis]] if axis in axes.get(name, {}) else size
            for axis, size in enumerate(tensor.shape)
        ]
        for name, tensor in tensors.items()
    )
    return all(prod(shape) <= _MOST_ELEMENTS for shape in shapes)
