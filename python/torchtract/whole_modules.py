"""Modules kept whole while tracing, for lowerings of a whole class of modules.

A call of such a module becomes one operator of the library `torchtract_module`, named after the
class. Run, it computes what the module's `forward` computes, on the tensors that it is given.
"""

from __future__ import annotations

import functools
import itertools
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

from torchtract.errors import CaptureError

__all__ = ["ModuleCall", "call_of", "operator_of", "whole_modules"]

_OPERATORS: dict[type[torch.nn.Module], OpOverload] = {}
_CALLS: weakref.WeakValueDictionary[int, ModuleCall] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count()


@dataclass(eq=False)
class ModuleCall:
    """One call of a module, as a program has it: what goes in as tensors and sizes, and the rest.

    Attributes:
        module: the module.
        leaves: its arguments, flattened, with None where tensors and sizes are.
        structure: how to put them together again.
        tensors: places of the tensors among the leaves.
        sizes: places of the whole numbers.
        outputs: what it returned, flattened, with None where tensors are.
        output_structure: how to put that together again.
    """

    module: torch.nn.Module
    leaves: list[Any]
    structure: pytree.TreeSpec
    tensors: list[int]
    sizes: list[int]
    outputs: list[Any] = field(default_factory=list)
    output_structure: pytree.TreeSpec | None = None
    running: bool = False

    def arguments(
        self, tensors: Sequence[Any], sizes: Sequence[Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Its arguments with these tensors and sizes in their places."""
        leaves = list(self.leaves)
        for place, value in zip([*self.tensors, *self.sizes], [*tensors, *sizes], strict=True):
            leaves[place] = value
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs

    def compute(
        self, tensors: Sequence[Tensor], weights: Sequence[Tensor], sizes: Sequence[Any]
    ) -> list[Tensor]:
        """The tensors that the module's own `forward` returns."""
        args, kwargs = self.arguments(tensors, sizes)
        named = dict(zip(_weights(self.module), weights, strict=True))
        with patch.object(self, "running", True):
            result = torch.func.functional_call(self.module, named, args, kwargs)
        leaves, self.output_structure = pytree.tree_flatten(result)
        self.outputs = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]

    def result(self, tensors: Sequence[Tensor]) -> Any:
        """What the module returned, with these tensors in it."""
        given = iter(tensors)
        leaves = [next(given) if leaf is None else leaf for leaf in self.outputs]
        assert self.output_structure is not None  # the operator has computed by now
        return pytree.tree_unflatten(leaves, self.output_structure)


def call_of(number: int) -> ModuleCall:
    """The call that a program's operator stands for.

    Raises:
        CaptureError: the program is not of this process, or its module is gone.
    """
    if number not in _CALLS:
        raise CaptureError(
            "a module that was kept whole can't be run, since the program was captured by another "
            "process; export the model again."
        )
    return _CALLS[number]


def operator_of(module_class: type[torch.nn.Module]) -> OpOverload:
    """The operator that a call of a module of this class becomes, from now on.

    Its schema is `(Tensor[] tensors, Tensor[] weights, SymInt[] sizes, int call) -> Tensor[]`.
    """
    if module_class not in _OPERATORS:
        _OPERATORS[module_class] = _defined(module_class)
    return _OPERATORS[module_class]


def _defined(module_class: type[torch.nn.Module]) -> OpOverload:
    library = torch.ops.torchtract_module
    stem = re.sub(r"\W+", "_", module_class.__qualname__.rpartition("<locals>.")[2])
    names = (f"{stem}_{i}" if i else stem for i in itertools.count())
    name = next(name for name in names if not hasattr(library, name))

    @torch.library.custom_op(
        f"torchtract_module::{name}",
        mutates_args=(),
        schema="(Tensor[] tensors, Tensor[] weights, SymInt[] sizes, int call) -> Tensor[]",
    )
    def operator(
        tensors: list[Tensor], weights: list[Tensor], sizes: list[int], call: int
    ) -> list[Tensor]:
        # An operator may not return what it is given.
        return [x.clone() for x in call_of(call).compute(tensors, weights, sizes)]

    @operator.register_fake
    def _(
        tensors: list[Tensor], weights: list[Tensor], sizes: list[int], call: int
    ) -> list[Tensor]:
        computed = call_of(call).compute(tensors, weights, sizes)
        return [x.new_empty(x.shape) for x in computed]

    overload: OpOverload = getattr(library, name).default
    return overload


@contextmanager
def whole_modules(model: torch.nn.Module, calls: list[ModuleCall]) -> Iterator[None]:
    """Make each call of a module, of a class that has an operator, one call of that.

    Args:
        model: what is traced.
        calls: keeps the calls, which a program refers to only by number.
    """
    with ExitStack() as stack:
        for module in model.modules():
            operator = next((_OPERATORS[c] for c in type(module).__mro__ if c in _OPERATORS), None)
            if operator is not None:
                forward = _whole(module, operator, calls)
                stack.enter_context(patch.object(module, "forward", forward))
        yield


def _whole(module: torch.nn.Module, operator: OpOverload, calls: list[ModuleCall]) -> Any:
    original = module.forward

    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if any(call.running for call in calls if call.module is module):
            return original(*args, **kwargs)
        leaves, structure = pytree.tree_flatten((args, kwargs))
        tensors = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        sizes = [i for i, leaf in enumerate(leaves) if _is_size(leaf)]
        rest = [None if i in {*tensors, *sizes} else leaf for i, leaf in enumerate(leaves)]
        call = ModuleCall(module, rest, structure, tensors, sizes)
        calls.append(call)
        number = next(_NUMBERS)
        _CALLS[number] = call
        given = [[leaves[i] for i in tensors], [*_weights(module).values()]]
        return call.result(operator(*given, [leaves[i] for i in sizes], number))

    return forward


def _is_size(leaf: Any) -> bool:
    return isinstance(leaf, (int, torch.SymInt)) and not isinstance(leaf, bool)


def _weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())
