"""Modules that stay whole while they are traced, for lowerings of a whole class of modules.

A call of such a module becomes one operator of the library `torchtract_module`, named after the
class. Run, it computes what the module's `forward` computes, on the tensors that it is given.
"""

from __future__ import annotations

import functools
import itertools
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from torchtract.errors import CaptureError
from torchtract.module_state import unchanged
from torchtract.pytrees import register_dataclasses

__all__ = ["ModuleCall", "call_of", "check_writes", "operator_of", "whole_modules"]

_LIBRARY = "torchtract_module"
_LOCK = threading.Lock()
_OPERATORS: dict[type[torch.nn.Module], OpOverload] = {}
_CALLS: weakref.WeakValueDictionary[int, ModuleCall] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count()
#: The modules that stay whole in the trace that the caller is in.
_WHOLE: ContextVar[frozenset[int]] = ContextVar("whole", default=frozenset())

#: What a module may get and return besides tensors, sizes, and structures of them.
_CONSTANTS = (
    *(type(None), bool, int, float, complex, str, bytes, slice, type(Ellipsis)),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)


@dataclass(eq=False)
class ModuleCall:
    """One call of a module, as a program has it: what goes in as tensors and sizes, and the rest.

    Attributes:
        module: the module.
        path: of it in the model, "" for the model itself.
        forward: its own.
        weights: names of its parameters and buffers.
        leaves: its arguments, flattened; Tensor and SymInt stand for tensors and whole numbers.
        structure: how to put them together again.
        tracing: what keeps sizes symbolic in its code.
        outputs: what it returned, flattened likewise.
        output_structure: how to put that together again.
        shares_memory: whether a tensor of it shares memory with another, or with an argument.
    """

    module: torch.nn.Module
    path: str
    forward: Callable[..., Any]
    weights: Sequence[str]
    leaves: Sequence[Any]
    structure: pytree.TreeSpec
    tracing: Callable[[], AbstractContextManager[None]]
    outputs: Sequence[Any] = ()
    output_structure: pytree.TreeSpec = field(default_factory=pytree.treespec_leaf)
    shares_memory: bool = False

    def arguments(
        self, tensors: Sequence[Any], sizes: Sequence[Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Its arguments with these tensors and sizes in their places."""
        given = {Tensor: iter(tensors), torch.SymInt: iter(sizes)}
        leaves = [next(given[x]) if isinstance(x, type) else x for x in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs

    def shapes(
        self, tensors: Sequence[Tensor], weights: Sequence[Tensor], sizes: Sequence[Any]
    ) -> list[Tensor]:
        """The same for tensors without data, while its caller is traced."""
        with self.tracing():  # torch sets it aside for the operators that it calls
            return self.compute(tensors, weights, sizes)

    def compute(
        self, tensors: Sequence[Tensor], weights: Sequence[Tensor], sizes: Sequence[Any]
    ) -> list[Tensor]:
        """The tensors that the module's own `forward` returns, each one new."""
        args, kwargs = self.arguments(tensors, sizes)
        named = dict(zip(self.weights, weights, strict=True))
        owners = {_storage(weight): f"its {name!r}" for name, weight in named.items()}
        owners |= {_storage(x): "an argument" for x in tensors}
        holder = _Holder(self.module, lambda: self._outputs(args, kwargs, named))
        held = {f"module.{name}": weight for name, weight in named.items()}
        inside = _WHOLE.set(frozenset())  # modules in it are traced by the way
        try:
            with unchanged(self.module), _RefusedWrites(self, owners):
                outputs = torch.func.functional_call(holder, held, ())
        finally:
            _WHOLE.reset(inside)
        given = [x for x in outputs if isinstance(x, Tensor)]
        storages = {*map(_storage, given)}
        self.shares_memory = len(storages) < len(given) or not storages.isdisjoint(owners)
        return [x.clone() for x in given]

    def _outputs(self, args: Any, kwargs: Any, weights: Mapping[str, Tensor]) -> list[Any]:
        result = self.forward(*args, **kwargs)
        now = _weights(self.module)
        for name, tensor in weights.items():
            if now.get(name) is not tensor:
                raise self.refused(f"its forward gives its {name!r} another value")
        register_dataclasses(result)
        leaves, self.output_structure = pytree.tree_flatten(result)
        self.outputs = [self.checked(leaf, "returns") for leaf in leaves]
        return leaves

    def result(self, tensors: Sequence[Tensor]) -> Any:
        """What the module returned, with these tensors in it."""
        given = iter(tensors)
        leaves = [next(given) if leaf is Tensor else leaf for leaf in self.outputs]
        return pytree.tree_unflatten(leaves, self.output_structure)

    def checked(self, leaf: Any, verb: str) -> Any:
        """Tensor for a tensor, else the leaf, if an operator can get and give it."""
        if not isinstance(leaf, (Tensor, torch.SymInt, *_CONSTANTS)):
            raise self.refused(f"its forward {verb} a {type(leaf).__name__}")
        return Tensor if isinstance(leaf, Tensor) else leaf

    def refused(self, reason: str) -> CaptureError:
        """The error that says why it can't stay whole."""
        return CaptureError(
            f"{self.path or 'the model'}: this {type(self.module).__name__} can't stay whole for "
            f"its lowering, since {reason}; change that, or export it without the lowering."
        )


class _Holder(torch.nn.Module):
    """A function of no arguments, as the `forward` of a module whose weights can be swapped."""

    def __init__(self, module: torch.nn.Module, function: Callable[[], Any]) -> None:
        super().__init__()
        self.module = module
        self.function = function

    def forward(self) -> Any:
        return self.function()


class _RefusedWrites(TorchDispatchMode):
    """Refuses what a module writes to tensors that are not of its own making."""

    def __init__(self, call: ModuleCall, owners: Mapping[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.call = call
        self.owners = owners

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in _written(func, args, kwargs):
            owner = isinstance(tensor, Tensor) and self.owners.get(_storage(tensor))
            if owner:
                raise self.call.refused(f"its forward writes to {owner} in place")
        return func(*args, **kwargs)


def _written(target: Any, args: Any, kwargs: Any) -> list[Any]:
    """The arguments that a call of an operator writes to."""
    if not (isinstance(target, OpOverload) and target._schema.is_mutable):
        return []
    given = [
        args[position] if position < len(args) else kwargs.get(parameter.name)
        for position, parameter in enumerate(target._schema.arguments)
        if parameter.is_write
    ]
    return pytree.tree_leaves(given)


def check_writes(program: ExportedProgram) -> None:
    """Refuse later writes to memory that a whole module shared between tensors.

    In the program they are tensors of their own, of which a write changes one.

    Raises:
        CaptureError: there is one.
    """
    shared: dict[int, ModuleCall] = {}
    for node in program.graph.nodes:
        for written in _written(node.target, node.args, node.kwargs):
            call = shared.get(_storage(written.meta["val"]))
            if call is not None:
                raise call.refused(
                    "its forward returns memory that is in use elsewhere, to which "
                    f"{node.target} writes later"
                )
        if isinstance(node.target, OpOverload) and node.target.namespace == _LIBRARY:
            call = call_of(node.args[-1])
            tensors = [x.meta["val"] for x in node.all_input_nodes] + list(node.meta["val"])
            if call.shares_memory:
                shared |= {_storage(x): call for x in tensors if isinstance(x, Tensor)}


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata  # noqa: SLF001  (one for all views of a tensor)
    return address


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
    """The operator that a call of a module of this class becomes where it stays whole.

    Its schema is `(Tensor[] tensors, Tensor[] weights, SymInt[] sizes, int call) -> Tensor[]`.
    """
    with _LOCK:
        if module_class not in _OPERATORS:
            _OPERATORS[module_class] = _defined(module_class)
        return _OPERATORS[module_class]


def _defined(module_class: type[torch.nn.Module]) -> OpOverload:
    library = getattr(torch.ops, _LIBRARY)
    stem = re.sub(r"\W+", "_", module_class.__qualname__.rpartition("<locals>.")[2], flags=re.ASCII)
    names = (f"{stem}_{i}" if i else stem for i in itertools.count())
    name = next(name for name in names if not hasattr(library, name))

    @torch.library.custom_op(
        f"{_LIBRARY}::{name}",
        mutates_args=(),
        schema="(Tensor[] tensors, Tensor[] weights, SymInt[] sizes, int call) -> Tensor[]",
    )
    def operator(
        tensors: list[Tensor], weights: list[Tensor], sizes: list[int], call: int
    ) -> list[Tensor]:
        return call_of(call).compute(tensors, weights, sizes)

    operator.register_fake(
        lambda tensors, weights, sizes, call: call_of(call).shapes(tensors, weights, sizes)
    )
    overload: OpOverload = getattr(library, name).default
    return overload


@contextmanager
def whole_modules(
    model: torch.nn.Module,
    whole: Mapping[torch.nn.Module, OpOverload],
    calls: list[ModuleCall],
    tracing: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Make each call of some modules one call of an operator.

    Args:
        model: what is traced.
        whole: the modules, and the operator of each.
        calls: keeps the calls, which a program refers to only by number.
        tracing: what keeps sizes symbolic in their code.

    Raises:
        CaptureError: such a module gets or returns what an operator can't, or writes to its
            arguments or weights.
    """
    paths = {module: path for path, module in model.named_modules()}
    with ExitStack() as stack:
        for module, operator in whole.items():
            make = functools.partial(ModuleCall, module, paths[module], tracing=tracing)
            forward = _whole(module, make, operator, calls)
            stack.enter_context(patch.object(module, "forward", forward))
        outside = _WHOLE.set(frozenset(map(id, whole)))
        try:
            yield
        finally:
            _WHOLE.reset(outside)


def _whole(
    module: torch.nn.Module,
    make: Callable[..., ModuleCall],
    operator: OpOverload,
    calls: list[ModuleCall],
) -> Callable[..., Any]:
    original, names = module.forward, tuple(_weights(module))

    @functools.wraps(original)
    def whole(*args: Any, **kwargs: Any) -> Any:
        if id(module) not in _WHOLE.get():  # in another module's operator, or another thread
            return original(*args, **kwargs)
        register_dataclasses((args, kwargs))
        leaves, structure = pytree.tree_flatten((args, kwargs))
        kinds = [_kind(leaf) for leaf in leaves]
        call = make(original, names, kinds, structure)
        for leaf in leaves:
            call.checked(leaf, "gets")
        calls.append(call)
        number = next(_NUMBERS)
        _CALLS[number] = call
        weights = _weights(module)
        tensors, sizes = (
            [leaf for leaf, of in zip(leaves, kinds, strict=True) if of is kind]
            for kind in (Tensor, torch.SymInt)
        )
        return call.result(operator(tensors, [weights[n] for n in names], sizes, number))

    return whole


def _kind(leaf: Any) -> Any:
    """What stands for a tensor or a whole number; anything else is as it is."""
    if isinstance(leaf, Tensor):
        return Tensor
    whole = isinstance(leaf, (int, torch.SymInt)) and not isinstance(leaf, bool)
    return torch.SymInt if whole else leaf


def _weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
