"""What no output needs is dropped; inputs stay."""

from __future__ import annotations

import numpy as np

from torchtract.nnef import Graph, Operation, Ref, Variable
from torchtract.passes import run_passes


def test_operations_and_variables_that_no_output_needs_are_dropped() -> None:
    values = np.zeros(2, np.float32)
    graph = Graph(
        inputs=["x", "unused"],
        outputs=["y"],
        operations=[
            Operation("tract_core_external", {"datum_type": "f32", "shape": [2]}, ("x",)),
            Operation("tract_core_external", {"datum_type": "f32", "shape": [2]}, ("unused",)),
            Operation("neg", {"x": Ref("x")}, ("dead",)),
            Operation("exp", {"x": Ref("dead")}, ("dead_too",)),
            Operation("concat", {"values": [Ref("x"), Ref("w")], "axis": 0}, ("y",)),
        ],
        variables={n: Variable(n, "f32", (2,), lambda: values) for n in ("w", "v")},
    )
    run_passes(graph)
    assert [o.outputs[0] for o in graph.operations] == ["x", "unused", "y"]
    assert list(graph.variables) == ["w"]
