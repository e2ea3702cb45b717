"""Small graphs that several tests write."""

from __future__ import annotations

import io
import tarfile

import numpy as np

from torchtract.nnef import Argument, Dim, Graph, Operation, Ref, Variable

__all__ = ["archive", "external", "linear", "variable"]


def archive(graph: str) -> bytes:
    """A graph's text as an archive without weights."""
    text = f"version 1.0;\nextension tract_registry tract_core;\n{graph}".encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("graph.nnef")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def external(name: str, *shape: int | str, datum_type: str = "f32") -> Operation:
    sizes: list[Argument] = [s if isinstance(s, int) else Dim(s) for s in shape]
    return Operation("tract_core_external", {"shape": sizes, "datum_type": datum_type}, (name,))


def variable(label: str, array: np.ndarray) -> Variable:
    kinds = {"float": "f", "int": "i", "uint": "u", "bool": "bool"}
    kind = kinds[array.dtype.name.rstrip("0123456789")]
    datum_type = kind if kind == "bool" else f"{kind}{array.dtype.itemsize * 8}"
    return Variable(label, datum_type, array.shape, lambda: array)


def linear() -> Graph:
    """`output = input @ weight.T + bias` with a dynamic batch."""
    weight = np.arange(12, dtype=np.float32).reshape(4, 3)
    bias = np.array([[0.5, -1, 0, 2]], dtype=np.float32)
    return Graph(
        inputs=["input"],
        outputs=["output"],
        symbols=["B"],
        extensions=["tract_assert B >= 1"],
        properties={"torchtract.version": "0.1.0"},
        variables={
            "fc_weight": variable("fc.weight", weight),
            "fc_bias": variable("fc.bias", bias),
        },
        operations=[
            external("input", "B", 3),
            Operation(
                "matmul",
                {"A": Ref("input"), "B": Ref("fc_weight"), "transposeB": True},
                ("fc_matmul",),
                module="fc",
            ),
            Operation(
                "add", {"x": Ref("fc_matmul"), "y": Ref("fc_bias")}, ("output",), module="fc"
            ),
        ],
    )
