"""What is said of calls that nothing lowers, and of lowerings that fail."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch._ops import HigherOrderOperator

from torchtract.errors import LoweringError, UnsupportedOpError
from torchtract.lower.registry import Lowering
from torchtract.lower.source import called, origin, source_line

__all__ = ["all_refused", "failed", "why_none"]


def why_none(node: torch.fx.Node, of_complex: bool) -> str:
    """Why a call is refused that nothing is registered for."""
    part = "it" if called(node) == origin(node) else f"its part {called(node)}"
    tags = getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded in tags:
        return f"{part} is random; make the noise an input of the module"
    if torch.Tag.dynamic_output_shape in tags:
        return f"{part} gives a shape that depends on the data; use a mask"
    if str(node.target).startswith("auto_functionalized"):
        return "it changes an argument in place; let it return a new tensor instead"
    if isinstance(node.target, HigherOrderOperator):
        return f"{part} runs graphs of its own, and NNEF has one; use torch.where"
    return f"{part} has no lowering to NNEF{' of complex numbers' if of_complex else ''}"


def failed(node: torch.fx.Node, lowering: Lowering, how: str) -> LoweringError:
    """The error of a lowering that raised, or gave something else than its operator."""
    where = source_line(node)
    return LoweringError(
        f"{where}: {node.target} could not be lowered, since its lowering {lowering.where} {how}; "
        "this is a defect of the lowering.",
        source=where,
    )


def all_refused(refusals: Mapping[tuple[str, str], str]) -> UnsupportedOpError:
    """The error that lists all calls that can't be exported.

    Args:
        refusals: by line and call, why it is refused. There is at least one.
    """
    lines = tuple(
        f"{where}: {call} is refused, since {reason}" for (where, call), reason in refusals.items()
    )
    return UnsupportedOpError(
        f"{len(lines)} operator call(s) of the model can't be exported:\n  "
        + "\n  ".join(lines)
        + "\nRewrite these lines with supported operators, or register a lowering for them "
        "with torchtract.lower.lowers.",
        refusals=lines,
        source=next(iter(refusals))[0],
    )
