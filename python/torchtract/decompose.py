"""Operators without a lowering rewritten into ones that have one, by torch's own rules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import sympy
import torch
from torch._decomp import global_decomposition_table
from torch._ops import OpOverload
from torch.export import ExportedProgram, default_decompositions
from torch.fx.experimental import _config as symbolic_shapes_config
from torch.utils import _pytree as pytree

from torchtract.errors import CaptureError
from torchtract.lower import lowering_of, registered
from torchtract.lower.source import line_in

__all__ = ["decompose"]


def decompose(program: ExportedProgram, symbols: Mapping[sympy.Symbol, str]) -> ExportedProgram:
    """The program with functional operators only, decomposed where no lowering exists.

    A program that needs neither is returned as it is: retracing one takes as long as
    capturing it.

    Args:
        program: as it was captured.
        symbols: the user's name of each of torch's symbols. Torch may see only now that two that
            share a name are one.

    Raises:
        CaptureError: torch's rules fail, or make a dynamic size a number.
    """
    if not any(_needs_work(node) for node in program.graph.nodes):
        return program
    # What is decided while decomposing shows in both programs.
    before = _input_shapes(program, symbols)
    try:
        # As while capturing: sizes that are equal at the example's aren't taken for one.
        config: Any = symbolic_shapes_config
        with config.patch(backed_size_oblivious=True):
            decomposed: ExportedProgram = program.run_decompositions(_table())
    except Exception as error:
        raise _refusal(error) from error
    if _input_shapes(decomposed, symbols) != before:
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


def _input_shapes(
    program: ExportedProgram, symbols: Mapping[sympy.Symbol, str]
) -> list[tuple[str, ...]]:
    names = {str(symbol): name for symbol, name in symbols.items()}
    inputs = set(program.graph_signature.user_inputs)  # others may get another order
    values = (n.meta.get("val") for n in program.graph.nodes if n.name in inputs)
    tensors = (v for v in values if isinstance(v, torch.Tensor))
    return [tuple(names.get(str(size), str(size)) for size in v.shape) for v in tensors]


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
    tensors = (known, *(n.meta.get("val") for n in node.all_input_nodes))
    return lowering_of(node.target, of_complex=_any_complex(tensors)) is None


def _any_complex(arguments: Any) -> bool:
    """Whether there is a tensor of complex numbers, one such, or their element type."""

    def is_complex(leaf: Any) -> bool:
        if isinstance(leaf, complex):
            return True
        dtype = leaf.dtype if isinstance(leaf, torch.Tensor) else leaf
        return isinstance(dtype, torch.dtype) and dtype.is_complex

    return any(map(is_complex, pytree.tree_leaves(arguments)))


def _table() -> Any:
    """Torch's decompositions, those of its core operators too, minus what has a lowering."""
    table: Any = default_decompositions()
    for overload, rule in global_decomposition_table["post_autograd"].items():
        # Rules of torch's reference implementations end in primitives, not in operators.
        reference = rule.__module__.startswith("torch._refs")
        if isinstance(overload, OpOverload) and overload not in table and not reference:
            table[overload] = rule
    for overload in registered():
        rule = table.pop(overload, None)
        # Those of linear algebra end in operators of LAPACK's, or change shapes of inputs.
        of_matrices = overload._opname.startswith("linalg_")
        if rule is None or of_matrices:
            continue
        if lowering_of(overload, of_complex=True) is None:
            table[overload] = _of_complex(rule)
    return table


def _of_complex(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A rule for calls with complex numbers only: others have a lowering."""

    @functools.wraps(rule)
    def of_complex(*args: Any, **kwargs: Any) -> Any:
        return rule(*args, **kwargs) if _any_complex((args, kwargs)) else NotImplemented

    return of_complex
