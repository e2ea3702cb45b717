"""One module and its example arguments, traced by torch.export at any sizes."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import sympy
import torch
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx.experimental import _config as symbolic_shapes_config
from torch.fx.experimental import symbolic_shapes
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._sympy.symbol import make_symbol

from torchtract.capture.guards import user_line
from torchtract.capture.signature import known_dataclasses
from torchtract.capture.symbolic_calls import REPLACEMENTS
from torchtract.capture.symbolic_math import symbolic_math
from torchtract.errors import CaptureError
from torchtract.recurrent import whole_recurrent_layers
from torchtract.sizes import resize

__all__ = ["Tracer", "silent_refusals"]


@contextmanager
def _zero_and_one(may_be_empty: bool) -> Iterator[None]:
    """Without this torch takes it for granted that no symbol is ever 0 or 1.

    Its tracer answers `S == 0` and `max(S, 1)` from what sympy assumes of a symbol, without a
    guard. The function that makes symbols is private to torch.
    """
    config: Any = symbolic_shapes_config
    make = _symbol_that_can_be_zero if may_be_empty else make_symbol
    with (
        config.patch(backed_size_oblivious=True),
        patch.object(symbolic_shapes, "make_symbol", make),
    ):
        yield


def _symbol_that_can_be_zero(kind: Any, index: int, **assumptions: Any) -> sympy.Symbol:
    if assumptions.pop("positive", None):
        assumptions["nonnegative"] = True
    return make_symbol(kind, index, **assumptions)


@contextmanager
def silent_refusals() -> Iterator[None]:
    """Sizes that a module refuses are tried on purpose: torch shall not log its errors there."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


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
        replacement = REPLACEMENTS.get(func)
        result = replacement(*args, **kwargs) if replacement else NotImplemented
        return func(*args, **kwargs) if result is NotImplemented else result


@dataclass(frozen=True)
class Tracer:
    """A module with example arguments whose dynamic axes can be given other sizes.

    Attributes:
        model: the module.
        leaves: its example arguments, flattened.
        structure: how to put the leaves together again.
        inputs: position among the leaves of each named tensor.
        axes: per input name, the symbol of each dynamic axis.
        may_be_empty: whether symbols may be 0.
    """

    model: torch.nn.Module
    leaves: Sequence[Any]
    structure: pytree.TreeSpec
    inputs: Mapping[str, int]
    axes: Mapping[str, Mapping[int, str]]
    may_be_empty: bool = False

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
            with self._tracing():
                return torch.export.export(
                    self.model, args, kwargs, dynamic_shapes=dynamic, strict=False
                )
        except Exception as error:
            raise self._refusal(error) from error

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        """Sizes that stay symbols, layers that stay whole, and results that pytree knows."""
        with (
            torch.no_grad(),
            silent_refusals(),
            _zero_and_one(self.may_be_empty),
            _SizesStaySymbolic(),
            symbolic_math(),
            whole_recurrent_layers(),
            known_dataclasses(self.model),
        ):
            yield

    def _refusal(self, error: Exception) -> CaptureError:
        line = user_line(traceback.extract_tb(error.__traceback__))
        reason = str(error).strip().split("\n\n")[0]
        return CaptureError(
            f"{line or type(self.model).__name__}: can't be captured as one graph by "
            f"torch.export, since {reason}\nRewrite this with tensor operations whose shapes "
            "and flow don't depend on the tensors' values, or leave it out of the module.",
            source=line or None,
        )
