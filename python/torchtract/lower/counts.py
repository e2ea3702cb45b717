"""Sizes that depend on data: symbols that a run binds, as long as outputs need what finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from torchtract.nnef import Argument, Dim, Graph, Operation, Ref

__all__ = ["depends_on_inputs", "settle_counts"]

#: The argument by which an operation names the symbol that it binds.
_BINDS = "count_symbol"


def depends_on_inputs(graph: Graph, name: str) -> bool:
    """Whether a tensor is computed from what the inputs hold, and not from sizes alone."""
    needed = _needed(graph, [name])
    return any(o.op == "tract_core_external" for o in needed)


def settle_counts(graph: Graph, counts: Set[str]) -> list[str]:
    """Declare the counts that the outputs need, and no others.

    Args:
        graph: finished but for this.
        counts: all symbols that a run binds.

    Returns:
        Those on which sizes depend, though the outputs don't need the operation that binds them.
    """
    needed = _needed(graph, graph.outputs)
    bound = {symbol for o in needed for symbol in _bound_by(o)} & counts
    graph.symbols = [s for s in graph.symbols if s not in counts or s in bound]
    return sorted((counts - bound) & _words([a for o in needed for a in o.arguments.values()]))


def _bound_by(operation: Operation) -> set[str]:
    """The symbols that a run may bind where it comes to an operation, if no input binds them."""
    if _BINDS in operation.arguments:
        return {str(operation.arguments[_BINDS])}
    bounds = [operation.arguments.get(bound) for bound in ("start", "end")]
    if operation.op == "tract_core_dyn_slice" and any(isinstance(b, Ref) for b in bounds):
        return _words([operation.arguments["len"]])
    return set()


def _words(arguments: Sequence[Argument]) -> set[str]:
    """The symbols in arguments that are sizes, numbers among them."""
    return {word for size in _sizes(list(arguments)) for word in re.findall(r"\w+", size)}


def _needed(graph: Graph, tensors: Sequence[str]) -> list[Operation]:
    names, kept = set(tensors), []
    for operation in reversed(graph.operations):
        if not names.isdisjoint(operation.outputs):
            names.update(ref.name for ref in operation.references())
            kept.append(operation)
    return kept


def _sizes(argument: Argument) -> Iterator[str]:
    if isinstance(argument, Dim):
        yield argument.expression
    elif isinstance(argument, (list, tuple)):
        for part in argument:
            yield from _sizes(part)
