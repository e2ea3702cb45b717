"""What a module takes and returns: a name for each tensor, read off the structure it is in."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import SymBool, SymFloat, SymInt
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    OutputKind,
    SymBoolArgument,
    SymFloatArgument,
    SymIntArgument,
    TensorArgument,
)
from torch.utils import _pytree as pytree

from torchtract.errors import CaptureError
from torchtract.nnef import Names, identifier
from torchtract.pytrees import register_dataclasses

__all__ = [
    "input_names_of",
    "known_keywords",
    "known_outputs",
    "output_names_of",
    "signature_of",
]

#: Stands for what is no tensor. None would do, but dataclasses lose fields that are None.
_NUMBER = object()

#: What a leaf of the returned structure may be. Only tensors become outputs.
_OUTPUTS = (torch.Tensor, bool, int, float, str, type(None), SymInt, SymFloat, SymBool)

#: Keys that lead from a structure to a leaf: of dicts, sequences and fields.
_Path = tuple[Any, ...]


def signature_of(model: torch.nn.Module) -> inspect.Signature:
    """The parameters of a module's `forward`, of a ScriptModule's too."""
    if not isinstance(model, torch.jit.ScriptModule):
        return inspect.signature(model.forward)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward: Any = model.forward
    arguments = forward.schema.arguments[1:]
    defaults = [
        a.default_value if a.has_default_value() else inspect.Parameter.empty for a in arguments
    ]
    return inspect.Signature(
        [
            inspect.Parameter(a.name, kind, default=default)
            for a, default in zip(arguments, defaults, strict=True)
        ]
    )


def input_names_of(
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    given: Sequence[str] | None,
) -> list[str]:
    """A name for each tensor among the arguments, in the order of pytree's leaves.

    Args:
        signature: of the module's `forward`.
        args: positional arguments.
        kwargs: keyword arguments, in any order.
        given: the user's names, in the order in which `forward` declares its parameters.

    Raises:
        CaptureError: the arguments don't fit `forward`, or the names don't fit the arguments.
    """
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise CaptureError(
            f"args: {len(args)} positional and {len(kwargs)} keyword arguments don't fit "
            f"forward{signature}, since {error}; pass what forward takes."
        ) from error
    declared = _names_of_tensors(bound, len(args))
    if given is not None:
        _check_given("input_names", given, list(declared.values()))
        declared = dict(zip(declared, given, strict=True))
    called = _paths((tuple(args), dict(kwargs)))
    return [declared[path] for path, leaf in called if isinstance(leaf, torch.Tensor)]


def _names_of_tensors(bound: inspect.BoundArguments, positional: int) -> dict[_Path, str]:
    """For each tensor, its path in (args, kwargs), and its name; as `forward` declares them."""
    kinds = {name: p.kind for name, p in bound.signature.parameters.items()}
    names: dict[_Path, str] = {}
    unique = Names()
    for position, (name, value) in enumerate(bound.arguments.items()):
        for path, leaf in _paths(value):
            if kinds[name] == inspect.Parameter.VAR_POSITIONAL:
                where, words = (0, position + path[0], *path[1:]), (name, *path)
            elif kinds[name] == inspect.Parameter.VAR_KEYWORD:
                where, words = (1, *path), path
            elif position < positional:
                where, words = (0, position, *path), (name, *path)
            else:
                where, words = (1, name, *path), (name, *path)
            if isinstance(leaf, torch.Tensor):
                names[where] = unique.unique(_joined(words))
    return names


def output_names_of(
    program: ExportedProgram,
    given: Sequence[str] | None,
    taken: Iterable[str] = (),
) -> tuple[str, ...]:
    """A name for each tensor that a program returns, from the structure it is returned in.

    Keys of dicts and fields of dataclasses are names; positions follow `output_`. Keys of
    nested structures are joined by `_`. The only tensor of a tuple is `output`.

    Args:
        program: torch's exported program.
        given: the user's names: one for each tensor, or one for each thing that is returned,
            which then stands before the names of the tensors in it.
        taken: names that inputs and symbols have.

    Raises:
        CaptureError: it returns a number that depends on a size, or two names are the same.
    """
    specs = program.graph_signature.output_specs
    args = [spec.arg for spec in specs if spec.kind == OutputKind.USER_OUTPUT]
    nodes = {node.name: node for node in program.graph.nodes}
    leaves = [nodes[a.name].meta["val"] if a.name in nodes else _NUMBER for a in args]
    returned = pytree.tree_unflatten(leaves, program.call_spec.out_spec)
    paths = [path for path, _ in _paths(returned)]
    for path, arg in zip(paths, args, strict=True):
        _check_returned(_output_name(path, alone=len(args) == 1), arg)
    tensors = [p for p, a in zip(paths, args, strict=True) if isinstance(a, TensorArgument)]
    if given is not None:
        _refuse_other_things("output_names", given)
        _refuse_repeated("output_names", given)
        return _named_by_parts(tensors, given, returned) or tuple(given)
    unique = Names(reserved=taken)
    alone = len(tensors) == 1
    return tuple(unique.unique(_output_name(path, alone)) for path in tensors)


def _named_by_parts(
    tensors: Sequence[_Path], given: Sequence[str], returned: Any
) -> tuple[str, ...] | None:
    """Names such as `output_logits`, where a given name stands for a whole structure.

    None where each tensor has a name of its own, or the names fit neither way.
    """
    sequence = isinstance(returned, (tuple, list))
    parts = sorted({path[0] for path in tensors}) if sequence else [None]
    if len(given) == len(tensors) or len(given) != len(parts):
        return None
    prefixes = dict(zip(parts, given, strict=True))
    return tuple(
        _joined((prefixes[path[0]], *path[1:]) if sequence else (prefixes[None], *path))
        for path in tensors
    )


def _output_name(path: _Path, alone: bool) -> str:
    keyed = [key for key in path if not isinstance(key, int)]
    if not keyed and alone:
        return "output"
    return _joined(path if path and not isinstance(path[0], int) else ("output", *path))


def _check_returned(name: str, value: Any) -> None:
    if isinstance(value, (SymIntArgument, SymFloatArgument, SymBoolArgument)):
        raise CaptureError(
            f"{name}: can't be an output, since it is a Python number that depends on a size "
            "or on data, and NNEF returns tensors; return it as torch.tensor(...), or leave it out."
        )
    if not isinstance(value, (TensorArgument, ConstantArgument)):
        raise CaptureError(
            f"{name}: can't be an output, since it is a {type(value).__name__} to torch.export "
            "and NNEF returns tensors; return tensors."
        )


def _check_given(argument: str, given: Sequence[str], names: Sequence[str]) -> None:
    _refuse_other_things(argument, given)
    if len(given) != len(names):
        raise CaptureError(
            f"{argument}={list(given)}: {len(given)} names don't fit, since there are "
            f"{len(names)} tensors among the arguments ({', '.join(names) or 'none'}); "
            "give one name for each of them."
        )
    _refuse_repeated(argument, given)


def _refuse_other_things(argument: str, names: Sequence[str]) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise CaptureError(
            f"{argument}={names!r}: can't be names, since this is no list of strings; write it "
            f"like {argument}=['first', 'second']."
        )


def _refuse_repeated(argument: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise CaptureError(
            f"{argument}={list(names)}: {repeated[0]!r} is given twice, but each name stands "
            "for one tensor; give different names."
        )


def _joined(path: _Path) -> str:
    return identifier("_".join(map(str, path)))


def _paths(tree: Any) -> Iterator[tuple[_Path, Any]]:
    """The path of each leaf of a structure, and the leaf, in pytree's order."""
    if pytree.tree_is_leaf(tree):
        yield (), tree
        return
    children, structure = pytree.tree_flatten(tree, is_leaf=lambda part: part is not tree)
    for key, child in zip(_keys(tree, structure.type, children), children, strict=True):
        for path, leaf in _paths(child):
            yield (key, *path), leaf


def _keys(tree: Any, kind: Any, children: Sequence[Any]) -> Sequence[Any]:
    with_keys = pytree.SUPPORTED_NODES[kind].flatten_with_keys_fn
    if with_keys is not None:
        entries, _ = with_keys(tree)
        attributes = ("key", "idx", "name")
        return [next(getattr(k, a) for a in attributes if hasattr(k, a)) for k, _ in entries]
    if isinstance(tree, Mapping) and len(tree) == len(children):
        return list(tree)
    return range(len(children))


@contextmanager
def known_keywords(model: torch.nn.Module, keywords: Iterable[str]) -> Iterator[None]:
    """Let `forward(x, **more)` say the names in `more`, where torch.export doesn't find them."""
    forward = model.forward
    signature = inspect.signature(forward)
    parameters = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
    named = {p.name for p in parameters}
    if len(parameters) == len(signature.parameters) or named.issuperset(keywords):
        yield
        return
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters += [inspect.Parameter(name, kind) for name in keywords if name not in named]

    def with_names(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    with_names.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with patch.object(model, "forward", with_names):
        yield


@contextmanager
def known_outputs(model: torch.nn.Module) -> Iterator[None]:
    """Look at what a module returns: tell pytree of its dataclasses, and refuse what is no output.

    Raises:
        CaptureError: it returns something else than tensors, numbers and structures of them.
    """

    def look(_module: torch.nn.Module, _args: Any, outputs: Any) -> None:
        register_dataclasses(outputs)
        for path, leaf in _paths(outputs):
            if not isinstance(leaf, _OUTPUTS):
                raise CaptureError(
                    f"{_output_name(path, alone=not path)}: can't be an output of "
                    f"{type(model).__name__}.forward, since it is of type "
                    f"{type(leaf).__name__}; return tensors, or tuples, "
                    "lists, dicts and dataclasses of them."
                )

    handle = model.register_forward_hook(look)
    try:
        yield
    finally:
        handle.remove()
