"""``torchtract dump``: what is in a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer

from torchtract.cli.options import AsJson, Debug, ModelPath, Settings, open_model
from torchtract.cli.output import brief_errors, doing, print_json, show
from torchtract.runtime import Model, Node
from torchtract.runtime.fact import describe
from torchtract.runtime.tables import Table

__all__ = ["dump"]


def dump(
    path: ModelPath,
    settings: Settings = None,
    no_nodes: Annotated[bool, typer.Option("--no-nodes", help="Leave the nodes out.")] = False,
    optimized: Annotated[
        bool, typer.Option("--optimized", help="Show the nodes of the compiled network.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what is in a model.

    That is: inputs, outputs, symbols, assertions, properties, and nodes with what they give.
    """
    with brief_errors(debug):
        model = open_model(path, settings)
        nodes = None if no_nodes else _nodes(model, optimized)
        if as_json:
            print_json(_data(model, nodes))
        else:
            show(*_tables(path.name, model, nodes))


def _nodes(model: Model, optimized: bool) -> list[Node]:
    if not optimized:
        return model.nodes()
    with doing("Compiling"):
        return model.compile().nodes()


def _data(model: Model, nodes: Iterable[Node] | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "inputs": [asdict(fact) for fact in model.inputs],
        "outputs": [asdict(fact) for fact in model.outputs],
        "symbols": model.symbols,
        "assertions": model.assertions,
        "properties": {name: _plain(value) for name, value in model.properties.items()},
    }
    if nodes is not None:
        data["nodes"] = [asdict(node) for node in nodes]
    return data


def _tables(title: str, model: Model, nodes: list[Node] | None) -> list[Table]:
    model_table = describe(title, model.inputs, model.outputs, model.symbols, model.assertions)
    properties = tuple((name, str(_plain(value))) for name, value in model.properties.items())
    tables = [model_table, Table("properties", ("name", "value"), properties)]
    if nodes is not None:
        tables.append(_node_table(nodes))
    return [table for table in tables if table.rows]


def _node_table(nodes: list[Node]) -> Table:
    """Nodes by number, since names of several inputs fit no line."""
    numbers: dict[str, int] = {}
    rows = []
    for number, node in enumerate(nodes):
        inputs = " ".join(str(numbers[name]) for name in node.inputs)
        facts = "; ".join(fact.spec for fact in node.outputs)
        rows.append((str(number), node.name, node.op, inputs, facts))
        numbers[node.name] = number
    columns = (">#", "node", "operator", "inputs", "shape and type")
    return Table(f"{len(nodes)} nodes", columns, tuple(rows))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
