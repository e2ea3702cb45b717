"""Operators without a lowering rewritten into ones that have one, by torch's own rules."""

from __future__ import annotations

from typing import Any

import torch
from torch._decomp import global_decomposition_table
from torch._ops import OpOverload
from torch.export import ExportedProgram, default_decompositions
from torch.export.graph_signature import InputKind

from torchtract.errors import CaptureError
from torchtract.lower import lowering_of, registered
from torchtract.lower.source import line_in

__all__ = ["decompose"]


def decompose(program: ExportedProgram) -> ExportedProgram:
    """The program with functional operators only, decomposed where no lowering exists.

    A program that needs neither is returned as it is: retracing one takes as long as
    capturing it.

    Raises:
        CaptureError: torch's rules fail, or make a dynamic size a number.
    """
    if not any(_needs_work(node) for node in program.graph.nodes):
        return program
    before = _input_shapes(program)  # what is decided while decomposing shows in both programs
    try:
        decomposed: ExportedProgram = program.run_decompositions(_table())
    except Exception as error:
        raise _refusal(error) from error
    if _input_shapes(decomposed) != before:
        names = ", ".join(sorted({str(n.target) for n in program.graph.nodes if _needs_work(n)}))
        raise CaptureError(
            f"{names}: can't be decomposed, since torch's rules for one of these make a dynamic "
            "size a number; write it with other operators, or leave the axis static."
        )
    return decomposed


def _refusal(error: Exception) -> CaptureError:
    reason, _, context = str(error).partition("\n\nWhile executing")
    line = line_in(context)
    return CaptureError(
        f"{line or 'the model'}: can't be exported, since torch.export made a program of it that "
        f"torch can't take apart ({reason.strip()}); write it with other operations, or leave it "
        "out of the module.",
        source=line or None,
    )


def _input_shapes(program: ExportedProgram) -> list[tuple[str, ...]]:
    # Decomposing can add a token, which orders side effects.
    kinds = {spec.arg.name: spec.kind for spec in program.graph_signature.input_specs}
    values = (
        node.meta.get("val")
        for node in program.graph.nodes
        if node.op == "placeholder" and kinds[node.name] != InputKind.TOKEN
    )
    return [tuple(str(s) for s in v.shape) for v in values if isinstance(v, torch.Tensor)]


def _needs_work(node: torch.fx.Node) -> bool:
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return False
    if node.target._schema.is_mutable:
        return True
    known = node.meta.get("val")
    if isinstance(known, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return False
    if known is None and not node.users:  # an assertion of the tracer's
        return False
    lowering = lowering_of(node.target) or lowering_of(node.target, of_complex=True)
    return lowering is None


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
