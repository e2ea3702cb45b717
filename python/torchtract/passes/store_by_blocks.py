"""Marks weights that are stored by blocks, and puts their operators in the form tract reads."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from torchtract.errors import FormatError
from torchtract.nnef import Graph, Operation, Ref, Variable
from torchtract.nnef.block_quant import BLOCK, FORMATS

__all__ = ["store_by_blocks"]


def store_by_blocks(graph: Graph, formats: Mapping[str, str]) -> None:
    """Store weights by blocks of the axis over which products sum.

    A weight whose first axis that is, `kn`, is stored transposed.

    Args:
        graph: to change.
        formats: by label of a variable, one of `block_quant.FORMATS`. Labels that the graph does
            not have are left out: of two names of one weight it has one.

    Raises:
        FormatError: there is no such format, or tract has no operator for a use of a weight.
    """
    names = [name for name, variable in graph.variables.items() if variable.label in formats]
    uses = _uses(graph)
    for name in names:
        _use_without_views(graph, name, uses)
    uses = _uses(graph)
    for name in names:
        variable = graph.variables[name]
        graph.variables[name] = _stored(name, variable, uses[name], formats[variable.label])


def _uses(graph: Graph) -> dict[str, list[Operation]]:
    """Of each tensor, the operations that take it."""
    uses = defaultdict(list)
    for operation in graph.operations:
        for name in dict.fromkeys(ref.name for ref in operation.references()):
            uses[name].append(operation)
    return uses


def _use_without_views(graph: Graph, name: str, uses: Mapping[str, Sequence[Operation]]) -> None:
    """Give products a weight itself, where they take it transposed or as float32.

    Blocks have no other type, and their products sum in float32.
    """
    for view in uses.get(name, ()):
        swaps = view.op == "transpose" and view.arguments["axes"] == [1, 0]
        if not (swaps or (view.op == "tract_core_cast" and view.arguments["to"] == "f32")):
            continue
        (viewed,) = view.outputs
        products = uses.get(viewed, ())
        if viewed in graph.outputs or any(use.op != "tract_core_einsum" for use in products):
            continue
        for use in products:
            if swaps:
                _swap_axes(viewed, use)
            inputs = use.arguments["inputs"]
            assert isinstance(inputs, list)
            use.arguments["inputs"] = [Ref(name) if x == Ref(viewed) else x for x in inputs]
        graph.operations.remove(view)


def _stored(name: str, variable: Variable, uses: list[Operation], form: str) -> Variable:
    if form not in FORMATS:
        raise FormatError(
            f"block_quant={{{variable.label!r}: {form!r}}}: there is no such format; use "
            f"{', '.join(FORMATS)}."
        )
    layouts = {_layout(name, use) for use in uses}
    if len(variable.shape) != 2 or len(layouts) != 1 or None in layouts:
        raise _refused(variable, form, f"tract has no operator for it in {_told(uses)}")
    if layouts == {"kn"}:
        variable = _transposed(variable)
    if variable.shape[-1] % BLOCK:
        raise _refused(variable, form, f"its rows have {variable.shape[-1]} values")
    for use in uses:
        if use.op == "tract_core_gather":
            use.arguments["datum_type"] = variable.datum_type
        elif layouts == {"kn"}:
            _swap_axes(name, use)
    return dataclasses.replace(variable, block_quant=form)


def _layout(name: str, use: Operation) -> str | None:
    """How an operator reads a weight: by rows, which may be summed over; or by columns."""
    if use.op == "tract_core_gather" and use.arguments["axis"] == 0:
        return "nk" if use.arguments["input"] == Ref(name) else None
    if use.op != "tract_core_einsum":
        return None
    terms, output, at = _terms(name, use)
    term = terms[at]
    axes = "".join("n" if letter in output else "k" for letter in term)
    return axes if axes in ("nk", "kn") else None


def _terms(name: str, use: Operation) -> tuple[list[str], str, int]:
    """The letters of an einsum's inputs and output, and which input is the weight."""
    left, _, output = str(use.arguments["expr"]).partition("->")
    inputs = use.arguments["inputs"]
    assert isinstance(inputs, list)
    return left.split(","), output, inputs.index(Ref(name))


def _swap_axes(name: str, use: Operation) -> None:
    terms, output, at = _terms(name, use)
    terms[at] = terms[at][::-1]
    use.arguments["expr"] = f"{','.join(terms)}->{output}"


def _transposed(variable: Variable) -> Variable:
    load: Callable[[], np.ndarray] = variable.load
    return dataclasses.replace(
        variable, shape=variable.shape[::-1], load=lambda: np.ascontiguousarray(load().T)
    )


def _told(uses: list[Operation]) -> str:
    return ", ".join(sorted({use.op for use in uses})) or "no operator"


def _refused(variable: Variable, form: str, why: str) -> FormatError:
    return FormatError(
        f"block_quant={{{variable.label!r}: {form!r}}}: can't be stored so, since {why}; blocks "
        f"are {BLOCK} values of a row of a matrix that is looked up or multiplied with. Leave this "
        "weight out."
    )
