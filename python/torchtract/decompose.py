"""Operators without a lowering rewritten into ones that have one, by torch's own rules."""

from __future__ import annotations

from typing import Any

import torch
from torch._decomp import global_decomposition_table
from torch._ops import OpOverload
from torch.export import ExportedProgram, default_decompositions

from torchtract.lower import lowering_of, registered

__all__ = ["decompose"]


def decompose(program: ExportedProgram) -> ExportedProgram:
    """The program with functional operators only, decomposed where no lowering exists.

    A program that needs neither is returned as it is: retracing one takes as long as
    capturing it.
    """
    if not any(_needs_work(node) for node in program.graph.nodes):
        return program
    decomposed: ExportedProgram = program.run_decompositions(_table())
    return decomposed


def _needs_work(node: torch.fx.Node) -> bool:
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return False
    if isinstance(node.meta.get("val"), (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return False
    return lowering_of(node.target) is None or node.target._schema.is_mutable


def _table() -> Any:
    """Torch's decompositions, those of its core operators too, minus what has a lowering."""
    table: Any = default_decompositions()
    for overload, rule in global_decomposition_table["post_autograd"].items():
        # Rules of torch's reference implementations end in primitives, not in operators.
        reference = rule.__module__.startswith("torch._refs")
        if isinstance(overload, OpOverload) and overload not in table and not reference:
            table[overload] = rule
    for overload in registered():
        table.pop(overload, None)
    return table
