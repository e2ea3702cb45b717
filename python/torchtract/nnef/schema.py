"""Operators by name: their parameters, registries, and the versions of tract that know them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torchtract.errors import FormatError
from torchtract.nnef.graph import Graph
from torchtract.nnef.operators import OPERATORS

__all__ = [
    "COMPLEX",
    "EMBEDDED",
    "check_graph",
    "check_version",
    "is_operator",
    "known_versions",
    "knows",
    "name_in",
    "parameters_of",
    "registries_of",
    "tensors_of",
]

#: The version of tract that this package links and checks with.
EMBEDDED = "0.23.9"

#: The property with the names of inputs and outputs of complex numbers, which are pairs of real
#: numbers on a last axis: `x output`.
COMPLEX = "torchtract.complex"

# Published patches of each line. Older ones read neither `tract_assert` nor all our tensors.
_PATCHES = {"0.21": range(6, 20), "0.22": range(5), "0.23": range(10)}
_VERSIONS = tuple(f"{line}.{patch}" for line, patches in _PATCHES.items() for patch in patches)

# What some operators were called, and where they were registered, before 0.23.
_OLD_NAMES = {
    "tract_core_gelu_approx": ("tract_transformers_gelu_approx", "tract_transformers", "0.21.13"),
    "tract_core_is_inf": ("tract_onnx_isinf", "tract_onnx", _VERSIONS[0]),
    "tract_core_is_nan": ("tract_onnx_is_nan", "tract_onnx", _VERSIONS[0]),
    "tract_core_rms_norm": ("tract_transformers_rms_norm", "tract_transformers", "0.21.13"),
    "tract_core_silu": ("tract_transformers_silu", "tract_transformers", "0.21.13"),
}


@dataclass(frozen=True, slots=True)
class _Operator:
    """One line of the table, as read."""

    registry: str
    tensors: tuple[str, ...]
    attributes: tuple[str, ...]
    since: dict[str, str]  # by parameter; "" is the operator itself


def known_versions() -> tuple[str, ...]:
    """The versions of tract that a file can be written for, oldest first."""
    return _VERSIONS


def check_version(version: str) -> None:
    """Refuse a version of tract that is not known.

    Raises:
        FormatError: it is unknown or too old.
    """
    if version not in _VERSIONS:
        known = ", ".join(f"{line}.{r[0]} to {line}.{r[-1]}" for line, r in _PATCHES.items())
        raise FormatError(
            f"version={version!r}: can't be written for, since the known versions of tract are "
            f"{known}; use the newest one that is not newer than yours."
        )


def knows(version: str, op: str) -> bool:
    """Whether that version of tract has an operator."""
    return not any(_problems(op, (), version))


def is_operator(name: str) -> bool:
    """Whether tract has an operator of this name, in some version."""
    return name in _OPERATORS


def parameters_of(op: str) -> tuple[str, ...]:
    """An operator's parameters in their order.

    Raises:
        FormatError: tract has no such operator.
    """
    operator = _operator(op)
    return (*operator.tensors, *operator.attributes)


def tensors_of(op: str) -> tuple[str, ...]:
    """The parameters that are tensors and come first; none for an operator not in the schema."""
    return _OPERATORS[op].tensors if op in _OPERATORS else ()


def name_in(op: str, version: str) -> str:
    """What that version of tract calls an operator."""
    return _OLD_NAMES[op][0] if _is_old(op, version) else op


def registries_of(graph: Graph, version: str) -> list[str]:
    """The registries that a graph must name for its operators, in a fixed order."""
    ops = {o.op for o in graph.operations} - graph.fragments.keys()
    ops = ops.union(*map(_called_in, graph.fragments.values()))
    found = {_OLD_NAMES[op][1] if _is_old(op, version) else _operator(op).registry for op in ops}
    return [registry for registry in OPERATORS if registry in found - {"tract_nnef"}]


def check_graph(graph: Graph, version: str) -> None:
    """Refuse a graph with operators or parameters that this version of tract does not know.

    Raises:
        FormatError: it names all of them.
    """
    check_version(version)
    calls = [(o.op, o.arguments) for o in graph.operations if o.op not in graph.fragments]
    calls += [(op, {}) for text in graph.fragments.values() for op in _called_in(text)]
    problems = dict.fromkeys(_problems_of_weights(graph, version))
    problems |= dict.fromkeys(p for op, names in calls for p in _problems(op, names, version))
    if problems:
        raise FormatError(
            f"version={version!r}: can't be written for, since {'; '.join(problems)}. "
            "Ask for a newer version, or avoid what uses them."
        )


def _problems_of_weights(graph: Graph, version: str) -> Iterator[str]:
    if any(v.block_quant for v in graph.variables.values()) and not version.startswith("0.23."):
        yield "weights by blocks are written as tract reads them since 0.23"


def _problems(op: str, arguments: Iterable[str], version: str) -> Iterator[str]:
    if op not in _OPERATORS:
        yield f"tract has no operator {op}"
        return
    operator = _OPERATORS[op]
    since = _OLD_NAMES[op][2] if op in _OLD_NAMES else operator.since[""]
    if _newer(since, version):
        yield f"tract has {op} since {since}"
        return
    for name in arguments:
        if name not in operator.tensors + operator.attributes:
            yield f"{op} has no parameter {name}"
        elif _newer(operator.since.get(name, _VERSIONS[0]), version):
            yield f"{op} has the parameter {name} since {operator.since[name]}"


def _called_in(fragment: str) -> set[str]:
    """The operators that the text of a fragment calls."""
    return _OPERATORS.keys() & set(re.findall(r"\b\w+(?=\s*[(<])", fragment))


def _is_old(op: str, version: str) -> bool:
    return op in _OLD_NAMES and _newer(_OPERATORS[op].since[""], version)


def _newer(version: str, than: str) -> bool:
    return _VERSIONS.index(version) > _VERSIONS.index(than)


def _operator(op: str) -> _Operator:
    if op not in _OPERATORS:
        raise FormatError(
            f"{op}: is no operator that tract loads; use one of torchtract.nnef.operators, or "
            "define a fragment of that name."
        )
    return _OPERATORS[op]


def _parse(registry: str, table: str) -> Iterator[tuple[str, _Operator]]:
    for match in re.finditer(r"(\w+)\(([^;)]*)(?:;([^)]*))?\)(?:\s+@(\S+))?", table):
        name, tensors, attributes, since = match.groups(default="")
        versions = {"": since or _VERSIONS[0]}
        yield (
            name,
            _Operator(
                registry,
                _parameters(tensors, versions),
                _parameters(attributes, versions),
                versions,
            ),
        )


def _parameters(text: str, versions: dict[str, str]) -> tuple[str, ...]:
    """The names in `a, b@0.23.0`; versions are added to the dictionary."""
    found = re.findall(r"(\w+)(?:@(\S+?))?(?:,|$)", text.strip())
    versions |= {name: version for name, version in found if version}
    return tuple(name for name, _ in found)


_OPERATORS = {name: op for r, table in OPERATORS.items() for name, op in _parse(r, table)}
