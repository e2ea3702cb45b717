"""Whether one graph serves all sizes: the same module, traced and lowered at others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sympy

from torchtract.capture import Capture
from torchtract.check.locate import Lowered
from torchtract.decompose import decompose
from torchtract.errors import ExportError, UnsupportedOpError
from torchtract.lower import lower
from torchtract.lower.multiples import multiples_beyond, multiples_of
from torchtract.nnef import Graph
from torchtract.passes import run_passes
from torchtract.sizes import Assertion, allowed, bounds_of

__all__ = ["OtherSizes", "lowered"]


def lowered(
    captured: Capture,
    assertions: Sequence[Assertion],
    version: str,
    multiples: Mapping[sympy.Expr, sympy.Expr] | None = None,
    **settings: Any,
) -> Lowered:
    """The graph of a captured program of functional operators.

    Args:
        captured: the program and its names.
        assertions: what the user takes for granted.
        version: the oldest tract that must read it.
        multiples: as for `lower`; by default those that the module's own code asks for, where
            there is no graph without them.
        settings: further ones of `lower`.

    Raises:
        UnsupportedOpError: there is no graph.
    """
    names = captured.inputs, captured.outputs, captured.symbols, version
    settings["bounds"] = bounds_of(assertions)
    try:
        graph, tensors = lower(captured.program, *names, multiples=multiples, **settings)
    except UnsupportedOpError:
        # That sizes are multiples helps, but such inputs are cut first, which few streams bear.
        own = multiples_of((g.condition for g in captured.guards), captured.symbols)
        if multiples is not None or not own:
            raise
        graph, tensors = lower(captured.program, *names, multiples=own, **settings)
    run_passes(graph)
    return Lowered(captured.program, graph, tensors, version)


class OtherSizes:
    """One module at all sizes of its symbols.

    Args:
        captured: the module, traced at the example's sizes.
        assertions: what the user takes for granted.
        lower: gives the graph of a captured program under assertions, and perhaps `multiples`.

    Attributes:
        lowered: the graph of the module as it was traced.

    Raises:
        UnsupportedOpError: there is no graph.
        CaptureError: the program can't be decomposed.
    """

    def __init__(
        self, captured: Capture, assertions: Sequence[Assertion], lower: Callable[..., Lowered]
    ) -> None:
        self._captured = _decomposed(captured)
        self._assertions = assertions
        self._lower = lower
        self._traced: dict[frozenset[tuple[str, int]], Capture | None] = {}
        self._answers: dict[frozenset[tuple[str, int]], bool | None] = {}
        self.lowered = lower(self._captured, assertions)

    def same_program(self, sizes: Mapping[str, int]) -> bool | None:
        """Whether the module gives the same graph when traced at these sizes.

        None where the module refuses them.
        """
        key = frozenset(sizes.items())
        if key not in self._answers:  # many questions are about the same sizes
            self._answers[key] = self._gives(self.lowered.graph, sizes, self._assertions)
        return self._answers[key]

    def same_beyond(self, condition: sympy.Basic, sizes: Mapping[str, int]) -> bool:
        """Whether both graphs are the same wherever a condition does not hold.

        Where `S < 8 * ((S + 7) // 8)` does not, `x[:, :S]` of as many is all of it.

        Args:
            condition: over the symbols of the module as it was traced.
            sizes: some at which it does not hold.
        """
        few = _few_sizes(condition, self._captured.symbols, self._assertions)
        if few:
            return all(map(self._same_at, few))
        multiples = multiples_beyond(condition)
        if not multiples:
            return False
        try:
            here = self._lower(self._captured, self._assertions, multiples=multiples).graph
        except ExportError:
            return False
        return bool(self._gives(here, sizes, self._assertions, multiples))

    def _same_at(self, sizes: Mapping[str, int]) -> bool:
        only = [Assertion.parse(f"{symbol} == {size}") for symbol, size in sizes.items()]
        there = [*self._assertions, *only]
        return bool(self._gives(self._lower(self._captured, there).graph, sizes, there))

    def _gives(
        self,
        graph: Graph,
        sizes: Mapping[str, int],
        assertions: Sequence[Assertion],
        multiples: Mapping[sympy.Expr, sympy.Expr] | None = None,
    ) -> bool | None:
        """Whether the module gives this graph when traced at these sizes, None if it refuses."""
        try:
            other = self._at(sizes)
            if other is None:
                return None
            if multiples is not None:
                own = {name: symbol for symbol, name in other.symbols.items()}
                same = {s: own[name] for s, name in self._captured.symbols.items() if name in own}
                multiples = {k.xreplace(same): v.xreplace(same) for k, v in multiples.items()}
            found = self._lower(other, assertions, multiples=multiples)
            return found.graph.says_the_same_as(graph)
        except ExportError:
            return False

    def _at(self, sizes: Mapping[str, int]) -> Capture | None:
        key = frozenset(sizes.items())
        if key not in self._traced:
            other = self._captured.at(sizes)
            self._traced[key] = None if other is None else _decomposed(other)
        return self._traced[key]


def _decomposed(captured: Capture) -> Capture:
    return replace(captured, program=decompose(captured.program, captured.symbols))


def _few_sizes(
    condition: sympy.Basic, symbols: Mapping[sympy.Symbol, str], assertions: Sequence[Assertion]
) -> list[dict[str, int]]:
    """All sizes at which a condition on one symbol does not hold, if these are 0, 1 or 2."""
    match _without_factor(condition):
        case sympy.Gt(args=(sympy.Symbol() as symbol, sympy.Integer() as number)):
            beyond = range(number + 1)
        case sympy.Ge(args=(sympy.Symbol() as symbol, sympy.Integer() as number)):
            beyond = range(number)
        case sympy.Ne(args=(sympy.Symbol() as symbol, sympy.Integer() as number)):
            beyond = range(number, number + 1)
        case _:
            return []
    if symbol not in symbols or beyond.stop > 3:
        return []
    few = [{symbols[symbol]: size} for size in beyond]
    return [sizes for sizes in few if allowed(sizes, assertions)]


def _without_factor(condition: sympy.Basic) -> sympy.Basic:
    """`16*S != 0` as `S != 0`: a tensor is asked for its elements, and means its length."""
    match condition:
        case sympy.Rel(args=(sympy.Mul(args=(sympy.Integer() as factor, symbol)), sympy.Integer())):
            divided = sympy.Rational(condition.args[1], factor)
            if factor > 0 and divided.is_integer:
                return condition.func(symbol, divided)
    return condition
