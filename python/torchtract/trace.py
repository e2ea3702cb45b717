"""One module and its example arguments, traced by torch.export at any sizes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx.experimental import _config as symbolic_shapes_config
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from torchtract.errors import CaptureError
from torchtract.guards import user_line
from torchtract.recurrent import whole_recurrent_layers
from torchtract.sizes import resize

__all__ = ["Tracer"]


def _zero_and_one() -> AbstractContextManager[None]:
    """Without this torch takes it for granted that no symbol is ever 0 or 1."""
    config: Any = symbolic_shapes_config
    patch: AbstractContextManager[None] = config.patch(backed_size_oblivious=True)
    return patch


class _SizesStaySymbolic(TorchFunctionMode):
    """Calls whose C++ code turns sizes into numbers, made by others that don't."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.max_pool1d, F.max_pool1d) and not kwargs.pop("return_indices", False):
            return torch.max_pool1d_with_indices(*args, **kwargs)[0]
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Tracer:
    """A module with example arguments whose dynamic axes can be given other sizes.

    Attributes:
        model: the module.
        leaves: its example arguments, flattened.
        structure: how to put the leaves together again.
        inputs: position among the leaves of each named tensor.
        axes: per input name, the symbol of each dynamic axis.
    """

    model: torch.nn.Module
    leaves: Sequence[Any]
    structure: pytree.TreeSpec
    inputs: Mapping[str, int]
    axes: Mapping[str, Mapping[int, str]]

    def trace(self, sizes: Mapping[str, int]) -> ExportedProgram:
        """Export non-strictly, with the inputs brought to these sizes of the symbols.

        Axes stay symbolic unless the module's code fixes them.

        Raises:
            CaptureError: torch.export can't capture the module; with the user's line.
        """
        leaves = list(self.leaves)
        shapes = ShapesCollection()
        for name, position in self.inputs.items():
            axes = self.axes.get(name, {})
            wanted = {axis: sizes[symbol] for axis, symbol in axes.items() if symbol in sizes}
            # A view of its own, so that a tensor that is passed twice counts as two inputs.
            leaves[position] = resize(leaves[position], wanted).detach()
            if axes:
                shapes[leaves[position]] = dict.fromkeys(axes, Dim.AUTO)
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        dynamic = shapes.dynamic_shapes(self.model, args, kwargs) if self.axes else None
        try:
            with torch.no_grad(), _zero_and_one(), _SizesStaySymbolic(), whole_recurrent_layers():
                return torch.export.export(
                    self.model, args, kwargs, dynamic_shapes=dynamic, strict=False
                )
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> CaptureError:
        line = user_line(traceback.extract_tb(error.__traceback__))
        reason = str(error).strip().split("\n\n")[0]
        return CaptureError(
            f"{line or type(self.model).__name__}: can't be captured as one graph by "
            f"torch.export, since {reason}\nRewrite this with tensor operations whose shapes "
            "and flow don't depend on the tensors' values, or leave it out of the module.",
            source=line or None,
        )
