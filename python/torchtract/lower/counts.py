"""Sizes that depend on data: symbols that a run binds, as long as outputs need what finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from torchtract.nnef import Argument, Dim, Graph, Operation

__all__ = ["depends_on_inputs", "settle_counts"]

#: The argument by which an operation names the symbol that it binds.
_BINDS = "count_symbol"


def depends_on_inputs(graph: Graph, name: str) -> bool:
    """Whether a tensor is computed from what the inputs hold, and not from sizes alone."""
    needed = _needed(graph, [name])
    return any(o.op == "tract_core_external" for o in needed)


def settle_counts(graph: Graph) -> list[str]:
    """Declare the counts that the outputs need, and no others.

    Returns:
        Those on which sizes depend, though the outputs don't need the operation that binds them.
    """
    needed = _needed(graph, graph.outputs)
    counts = {str(o.arguments[_BINDS]) for o in graph.operations if _BINDS in o.arguments}
    bound = {str(o.arguments[_BINDS]) for o in needed if _BINDS in o.arguments}
    graph.symbols = [s for s in graph.symbols if s not in counts or s in bound]
    sizes = _sizes([a for o in needed for a in o.arguments.values()])
    words = {word for size in sizes for word in re.findall(r"\w+", size)}
    return sorted((counts - bound) & words)


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
