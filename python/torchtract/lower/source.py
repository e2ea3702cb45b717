"""From a node of the exported program to the user's own line and module."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload

__all__ = ["called", "file_line", "line_in", "module_path", "op_name", "origin", "source_line"]

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')
# Of torch, and not of torchvision, and code that torch generates, `<eval_with_key>.5`.
_NOT_THE_USERS = (f"{Path(torch.__file__).parent}{os.sep}", "<")


def module_path(node: torch.fx.Node) -> str:
    """Path of the innermost module that the node was traced in, "" for the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return re.sub(r"@\d+$", "", path)


def file_line(node: torch.fx.Node) -> str:
    """`file:line` of the innermost frame outside of torch, as far as known."""
    return line_in(node.meta.get("stack_trace") or "") or "unknown line"


def line_in(stack_trace: str) -> str:
    """`file:line` of the innermost frame outside of torch in a text that Python or torch wrote."""
    frames = list(_FRAME.finditer(stack_trace))
    outside = [f for f in frames if not f["file"].startswith(_NOT_THE_USERS)] or frames
    return f"{outside[-1]['file']}:{outside[-1]['line']}" if outside else ""


def source_line(node: torch.fx.Node) -> str:
    """`file:line (module.path)` of the innermost frame outside of torch, as far as known."""
    where, path = file_line(node), module_path(node)
    return f"{where} (in module {path})" if path else where


def called(node: torch.fx.Node) -> str:
    """The operator of a node: `aten.add.Tensor`, or the name of a function of torch's own."""
    target: Any = node.target
    return target.__name__ if inspect.isroutine(target) else str(target)


def op_name(node: torch.fx.Node) -> str:
    """The name of an operator without its overload: `add` of `aten.add.Tensor`."""
    target = node.target
    return target._opname if isinstance(target, OpOverload) else str(node.name)


def origin(node: torch.fx.Node) -> str:
    """The operator that the user's code called, of which the node may be a decomposed part."""
    history = node.meta.get("from_node") or []
    first = history[0].target if history else node.target
    return first if isinstance(first, str) and "." in first else called(node)
