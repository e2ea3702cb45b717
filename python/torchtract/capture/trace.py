"""One module and its example arguments, traced by torch.export at any sizes."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from unittest.mock import patch

import sympy
import torch
from torch._dynamo.source import TensorProperty, TensorPropertySource
from torch._export import non_strict_utils
from torch._ops import OpOverload
from torch._subclasses import fake_tensor
from torch.export import Dim, ExportedProgram, ShapesCollection, _trace
from torch.fx import _symbolic_trace as fx_tracer
from torch.fx import proxy
from torch.fx.experimental import _config as symbolic_shapes_config
from torch.fx.experimental import symbolic_shapes
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._sympy.symbol import make_symbol

from torchtract.capture.guards import NOT_THE_USERS, user_line
from torchtract.capture.modes import modes_left_alone
from torchtract.capture.numbers_in_tensors import NumbersInTensors
from torchtract.capture.signature import known_keywords, known_outputs
from torchtract.capture.symbolic_calls import REPLACEMENTS
from torchtract.capture.symbolic_int import symbolic_int
from torchtract.capture.symbolic_math import symbolic_math
from torchtract.errors import CaptureError
from torchtract.module_state import unchanged
from torchtract.recurrent import whole_recurrent_layers
from torchtract.recursive_filters import whole_recursive_filters
from torchtract.sizes import resize
from torchtract.whole_modules import ModuleCall, check_writes, whole_modules

__all__ = ["Tracer", "silent_refusals"]


# What torch says of an operator of the user's that has no function for tensors without data.
_OPERATOR_WITHOUT_SHAPES = re.compile(
    r"There was no fake impl registered for <CustomOpDef\((\w+)::(\w+)\)>|(\w+)\.(\w+)\.\w+$"
)


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
def _one_symbol_of_a_name(axes: Mapping[int, Mapping[int, str]]) -> Iterator[None]:
    """Give axes of one name one symbol: torch makes one for each, and learns of it by guards.

    What it learns depends on the order: where `y` has S rows, `x[:64] + y` would make S of `y`
    `min(64, S)`.

    Args:
        axes: by id of a tensor, the name of each of its dynamic axes.
    """
    fakify, create = non_strict_utils.fakify, symbolic_shapes.ShapeEnv.create_symbol
    of_tensor: Mapping[int, str] = {}
    made: dict[str, sympy.Expr] = {}

    def one_by_one(mode: Any, path: Any, leaf: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal of_tensor
        of_tensor = axes.get(id(leaf), {})
        try:
            return fakify(mode, path, leaf, *args, **kwargs)
        finally:
            of_tensor = {}

    def symbol(env: Any, size: Any, source: Any, *args: Any, **kwargs: Any) -> sympy.Expr:
        of_size = isinstance(source, TensorPropertySource) and source.prop is TensorProperty.SIZE
        name = of_tensor.get(source.idx, "") if of_size else ""
        if name not in made:
            result = create(env, size, source, *args, **kwargs)
            return made.setdefault(name, result) if name else result
        env.source_to_var[source.name] = made[name]
        env.var_to_sources[made[name]].append(source)
        return made[name]

    with (
        patch.object(non_strict_utils, "fakify", one_by_one),
        patch.object(symbolic_shapes.ShapeEnv, "create_symbol", symbol),
    ):
        yield


def _frames_of_user(_tracer: Any, stack: traceback.StackSummary) -> traceback.StackSummary:
    """The user's frames of a call, helper functions of a `forward` among them.

    Torch would note those called `forward` alone, which are all that is left in its own layers.
    """
    start = next((i for i, f in enumerate(stack) if f.filename == __file__), 0)
    frames = [f for f in stack[start:] if not f.filename.startswith(NOT_THE_USERS)]
    layers = [f for f in stack if f.name == "forward" and f.filename != fx_tracer.__file__]
    return traceback.StackSummary.from_list(frames or layers)


@contextmanager
def silent_refusals() -> Iterator[None]:
    """What torch logs and prints beside its errors is in our errors, or about sizes tried on."""
    logs = [logging.getLogger(module.__name__) for module in (fake_tensor, symbolic_shapes, _trace)]
    with ExitStack() as stack:
        for log in logs:
            stack.enter_context(patch.object(log, "disabled", True))
        stack.enter_context(patch.object(_trace, "print", lambda *_, **__: None, create=True))
        yield


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
        if replacement and not args and "input" in kwargs:  # what PyTorch calls the first
            args = [kwargs.pop("input")]
        result = replacement(*args, **kwargs) if replacement else NotImplemented
        return func(*args, **kwargs) if result is NotImplemented else result


@contextmanager
def _sizes_stay_symbolic() -> Iterator[None]:
    with _SizesStaySymbolic(), whole_recurrent_layers():
        yield


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
        whole: modules that are not traced, and the operator that each call of one becomes.
        calls: of those, in all programs that were traced.
        narrow: sizes that code read from float32 or int32, in all programs that were traced.
        symbolic_int: modules whose `int()` and `float()` keep symbols.
    """

    model: torch.nn.Module
    leaves: Sequence[Any]
    structure: pytree.TreeSpec
    inputs: Mapping[str, int]
    axes: Mapping[str, Mapping[int, str]]
    may_be_empty: bool = False
    whole: Mapping[torch.nn.Module, OpOverload] = field(default_factory=dict)
    calls: list[ModuleCall] = field(default_factory=list)
    narrow: list[sympy.Expr] = field(default_factory=list)
    symbolic_int: frozenset[ModuleType] = frozenset()

    def trace(self, sizes: Mapping[str, int]) -> ExportedProgram:
        """Export non-strictly, with the inputs brought to these sizes of the symbols.

        Axes stay symbolic unless the module's code fixes them.

        Raises:
            CaptureError: torch.export can't capture the module; with the user's line.
        """
        leaves = list(self.leaves)
        shapes = ShapesCollection()
        named: dict[int, Mapping[int, str]] = {}
        for name, position in self.inputs.items():
            axes = self.axes.get(name, {})
            wanted = {axis: sizes[symbol] for axis, symbol in axes.items() if symbol in sizes}
            # A view of its own, so that a tensor that is passed twice counts as two inputs.
            leaves[position] = resize(leaves[position], wanted).detach()
            if axes:
                shapes[leaves[position]] = dict.fromkeys(axes, Dim.AUTO)
                named[id(leaves[position])] = axes
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        try:
            with (
                self._tracing(),
                _one_symbol_of_a_name(named),
                known_keywords(self.model, kwargs),
            ):
                dynamic = shapes.dynamic_shapes(self.model, args, kwargs) if self.axes else None
                program = torch.export.export(
                    self.model, args, kwargs, dynamic_shapes=dynamic, strict=False
                )
                check_writes(program)
                return program
        except CaptureError:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        """Sizes that stay symbols, layers that stay whole, and a module that stays as it was."""
        with (
            unchanged(self.model),
            torch.no_grad(),
            modes_left_alone(),
            silent_refusals(),
            patch.object(proxy.TracerBase, "_filter_traceback_frames", _frames_of_user),
            _zero_and_one(self.may_be_empty),
            _SizesStaySymbolic(),
            NumbersInTensors(self.model, self.narrow),
            symbolic_math(),
            symbolic_int({*self.symbolic_int, torch.nn.modules.rnn}),
            whole_modules(self.model, self.whole, self.calls, _sizes_stay_symbolic),
            whole_recurrent_layers(),
            whole_recursive_filters(),
            known_outputs(self.model),
        ):
            yield

    def _refusal(self, error: Exception) -> CaptureError:
        line = user_line(traceback.extract_tb(error.__traceback__))
        reason = str(error).strip().split("\n\n")[0]
        where = line or type(self.model).__name__
        shapeless = _OPERATOR_WITHOUT_SHAPES.match(reason)
        if shapeless and "aten" not in shapeless.groups():
            name = "::".join(part for part in shapeless.groups() if part)
            return CaptureError(
                f"{where}: {name} can't be captured by torch.export, since nothing says what "
                "shape it gives; say so in a function under "
                f'@torch.library.register_fake("{name}").',
                source=line or None,
            )
        return CaptureError(
            f"{where}: can't be captured as one graph by "
            f"torch.export, since {reason}\nRewrite this with tensor operations whose shapes "
            "and flow don't depend on the tensors' values, or leave it out of the module.",
            source=line or None,
        )
