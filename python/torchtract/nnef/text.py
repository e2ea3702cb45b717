"""The `graph.nnef` document: NNEF text as tract parses it, laid out for a reader."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import takewhile

import numpy as np

from torchtract.errors import FormatError
from torchtract.nnef import schema
from torchtract.nnef.graph import Argument, Dim, Graph, Operation, Ref, Variable
from torchtract.nnef.identifiers import check_identifier

__all__ = ["format_argument", "format_graph", "format_operation"]

_INTEGERS = range(-(2**63), 2**63)


def format_graph(graph: Graph, version: str = schema.EMBEDDED) -> str:
    """The whole document.

    Args:
        graph: what to write.
        version: the oldest tract that must read it.

    Raises:
        FormatError: an operator or a parameter is unknown or newer than that version, an
            identifier is not valid, missing or defined twice, or a number has no literal.
    """
    schema.check_graph(graph, version)
    _check_identifiers(graph)
    sections = [
        ["version 1.0;"],
        list(_extensions(graph, version)),
        *_fragments(graph),
        _body(graph, version),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def format_operation(operation: Operation, version: str = schema.EMBEDDED) -> str:
    """One line: `outputs = op(arguments);`, tensors that come first without their names."""
    arguments = operation.arguments
    leading = list(takewhile(arguments.__contains__, schema.tensors_of(operation.op)))
    parts = [format_argument(arguments[tensor]) for tensor in leading]
    parts += [f"{k} = {format_argument(v)}" for k, v in arguments.items() if k not in leading]
    outputs = ", ".join(operation.outputs)
    if operation.outputs_as_list:
        outputs = f"[{outputs}]"
    return f"{outputs} = {schema.name_in(operation.op, version)}({', '.join(parts)});"


def format_argument(argument: Argument) -> str:
    """An argument as an NNEF expression.

    Raises:
        FormatError: the number has no literal in NNEF.
    """
    match argument:
        case Ref(name):
            return name
        case Dim(expression):
            return expression
        case bool():
            return "true" if argument else "false"
        case int():
            return _integer(argument)
        case float():
            return _float(argument)
        case str():
            return _string(argument)
        case list():
            return f"[{', '.join(map(format_argument, argument))}]"
        case tuple() if len(argument) != 1:  # tract reads `(x)` as `x`
            return f"({', '.join(map(format_argument, argument))})"
    raise TypeError(f"{argument!r} is no argument of an NNEF operation")


def _integer(value: int) -> str:
    if value not in _INTEGERS:
        raise FormatError(
            f"{value}: can't be written, since tract's integers have 64 bits; use a smaller one."
        )
    return str(value)


def _float(value: float) -> str:
    """The shortest text that gives the same float32, which is all that tract keeps of it."""
    if math.isnan(value):
        raise FormatError(
            "nan: can't be written, since NNEF has no literal for it; put it into a variable."
        )
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if np.isinf(single):
        raise FormatError(
            f"{value}: can't be written, since it is too large for the float32 that literals are; "
            "put it into a variable."
        )
    if value == 0 or 1e-4 <= abs(value) < 1e16:
        return np.format_float_positional(single, trim="0")
    # before 0.23, tract knows no `1e+16`
    return np.format_float_scientific(single, trim="-", exp_digits=1).replace("+", "")


def _string(value: str) -> str:
    for special in ("\\", "'", '"'):
        value = value.replace(special, f"\\{special}")
    return f"'{value}'"


def _extensions(graph: Graph, version: str) -> Iterator[str]:
    for registry in schema.registries_of(graph, version):
        yield f"extension tract_registry {registry};"
    for symbol in graph.symbols:
        yield f"extension tract_symbol {symbol};"
    for extension in graph.extensions:
        yield f"extension {extension};"
    if graph.fragments or graph.properties:
        yield "extension KHR_enable_fragment_definitions;"
    if any(map(_has_expression, graph.operations)):
        yield "extension KHR_enable_operator_expressions;"


def _has_expression(operation: Operation) -> bool:
    def search(argument: Argument) -> bool:
        if isinstance(argument, (list, tuple)):
            return any(map(search, argument))
        return isinstance(argument, Dim) and not argument.expression.isidentifier()

    return any(map(search, operation.arguments.values()))


def _fragments(graph: Graph) -> Iterator[list[str]]:
    if graph.properties:
        pairs = [f"({_string(k)}, {_string(v)})" for k, v in graph.properties.items()]
        yield [
            "fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[])",
            "{",
            "  properties = [",
            *(f"    {pair}," for pair in pairs[:-1]),
            f"    {pairs[-1]}",
            "  ];",
            "}",
        ]
    for text in graph.fragments.values():
        yield [text.strip()]


def _body(graph: Graph, version: str) -> list[str]:
    lines = [f"graph {graph.name}({', '.join(graph.inputs)}) -> ({', '.join(graph.outputs)})", "{"]
    pending = dict(graph.variables)
    module = ""
    for operation in graph.operations:
        if operation.module != module:
            module = operation.module
            lines += ["", f"  # {' '.join(module.split())}"] if module else [""]
        for ref in operation.references():
            if ref.name in pending:
                lines.append(f"  {_variable(ref.name, pending.pop(ref.name))}")
        lines.append(f"  {format_operation(operation, version)}")
    lines += [f"  {_variable(name, variable)}" for name, variable in pending.items()]
    return [*lines, "}"]


def _variable(name: str, variable: Variable) -> str:
    kind = {"b": "logical", "i": "integer", "u": "integer"}.get(variable.datum_type[0], "scalar")
    shape = ", ".join(map(str, variable.shape))
    return f"{name} = variable<{kind}>(label = {_string(variable.label)}, shape = [{shape}]);"


def _check_identifiers(graph: Graph) -> None:
    for name in (graph.name, *graph.symbols):
        check_identifier(name)
    defined = set(graph.symbols)
    for name in graph.variables:
        _define(name, defined)
    for operation in graph.operations:
        _require((ref.name for ref in operation.references()), defined, operation.op)
        for name in operation.outputs:
            _define(name, defined)
    _require((*graph.inputs, *graph.outputs), defined, f"graph {graph.name}")


def _define(name: str, defined: set[str]) -> None:
    check_identifier(name)
    if name in defined:
        raise FormatError(
            f"identifier {name!r}: is refused, since the graph defines it twice or has a symbol "
            "of that name; give each of them a name of its own."
        )
    defined.add(name)


def _require(names: Iterable[str], defined: set[str], user: str) -> None:
    for name in names:
        if name not in defined:
            raise FormatError(
                f"identifier {name!r}: can't be used by {user}, since nothing before it defines "
                "it; define it first."
            )
