"""ScriptModules, which torch's own converter turns into modules that torch.export can trace."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from torchtract.errors import CaptureError

__all__ = ["module_of_script"]


def module_of_script(
    model: torch.jit.ScriptModule,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic: bool,
) -> torch.nn.Module:
    """A module that computes what a ScriptModule does at the sizes of these arguments.

    The converter answers questions about sizes (`if x.shape[0] > 9`) for the example alone
    and writes some sizes as numbers, without a trace of either, as `torch.jit.trace` did
    before it. So this holds for fixed sizes only.

    Args:
        model: scripted or traced, in evaluation mode.
        args: positional example arguments.
        kwargs: must be empty, since the converter loses their names.
        dynamic: whether an axis is to be a symbol.

    Raises:
        CaptureError: an axis is to be a symbol, or torch can't convert it.
    """
    name = f"model={model.original_name}"
    way_out = "pass the Python module that it was made from."
    if dynamic:
        raise CaptureError(
            f"{name}: can't be captured with dynamic axes, since it is a ScriptModule: sizes that "
            f"torch.jit or its converter made numbers of can't be told from others; {way_out}"
        )
    if kwargs:
        raise CaptureError(
            f"{name}: can't be captured with keyword arguments ({', '.join(kwargs)}), since it is "
            f"a ScriptModule; give all arguments by position, or {way_out}"
        )
    try:
        from torch._export.converter import TS2EPConverter

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = TS2EPConverter(model, tuple(args)).convert()
    except Exception as error:
        raise CaptureError(
            f"{name}: can't be captured, since it is a ScriptModule and torch's converter fails "
            f"with {str(error).strip().splitlines()[0]!r}; {way_out}"
        ) from error
    module: torch.nn.Module = program.module(check_guards=False)
    for part in module.modules():  # modules of a program refuse eval()
        part.training = False
    return module
