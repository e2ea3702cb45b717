"""Rewrites of the NNEF graph. Each pass is one file with one function that changes a graph."""

from collections.abc import Callable

from torchtract.nnef import Graph
from torchtract.passes.remove_unused import remove_unused
from torchtract.passes.store_by_blocks import store_by_blocks

__all__ = ["PASSES", "run_passes", "store_by_blocks"]

#: In the order in which they run.
PASSES: tuple[Callable[[Graph], None], ...] = (remove_unused,)


def run_passes(graph: Graph) -> None:
    """Rewrite the graph by every pass, in their order."""
    for rewrite in PASSES:
        rewrite(graph)
