"""Drops operations, variables and fragments that no output needs."""

from __future__ import annotations

from torchtract.nnef import Graph

__all__ = ["remove_unused"]


def remove_unused(graph: Graph) -> None:
    """Keep the inputs and what the outputs are computed from, and nothing else."""
    needed = {*graph.inputs, *graph.outputs}
    kept = []
    for operation in reversed(graph.operations):
        if needed.isdisjoint(operation.outputs):
            continue
        needed.update(ref.name for ref in operation.references())
        kept.append(operation)
    graph.operations = kept[::-1]
    graph.variables = {k: v for k, v in graph.variables.items() if k in needed}
    called = {name for o in graph.operations for name in (o.op, o.arguments.get("body"))}
    graph.fragments = {k: v for k, v in graph.fragments.items() if k in called}
