"""Small NNEF models, written by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

# What a .dat header calls each kind of numpy dtype: item type and vendor.
_ITEM_TYPES = {"f": (0, 0), "u": (1, 0), "i": (4, 0), "b": (5, 0), "c": (0, 0x5452)}

WriteModel = Callable[..., Path]

RELU = """
    extension tract_symbol B;
    extension tract_assert B >= 1;
    graph net(input) -> (output) {
        input = tract_core_external(shape = [B, 8], datum_type = 'f32');
        output = relu(input);
    }
"""

#: A convolution that keeps the number of frames.
SMOOTH = """
extension tract_symbol B;
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [B, 1, S], datum_type = 'f32');
    kernel = [[[0.25, 0.5, 0.25]]];
    y = conv(x, kernel, 0.0, padding = [(1, 1)]);
}
"""

LINEAR = """
    graph net(input) -> (output) {
        input = tract_core_external(shape = [2, 3], datum_type = 'f32');
        weight = variable<scalar>(label = 'fc.weight', shape = [4, 3]);
        output = matmul(input, weight, transposeB = true);
    }
"""


def dat(array: npt.NDArray[Any]) -> bytes:
    """The contents of a .dat file."""
    kind, vendor = _ITEM_TYPES[array.dtype.kind]
    dims = [*array.shape, *[0] * (8 - array.ndim)]
    header = struct.pack(
        "<BBBBII8IIHH", 0x4E, 0xEF, 1, 0, array.nbytes, array.ndim, *dims,
        array.itemsize * 8, kind, vendor,
    )  # fmt: skip
    return header.ljust(128, b"\0") + array.tobytes()


@pytest.fixture
def write_model(tmp_path: Path) -> WriteModel:
    """Writes a folder with a graph and its weights, given by label."""

    def write(graph: str, **weights: npt.NDArray[Any]) -> Path:
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        head = "version 1.0;\nextension tract_registry tract_core;\n"
        (folder / "graph.nnef").write_text(head + graph)
        for label, array in weights.items():
            (folder / f"{label}.dat").write_bytes(dat(array))
        return folder

    return write


@pytest.fixture
def relu(write_model: WriteModel) -> Path:
    """Folder of a model with one operator and a symbol B >= 1: ``B,8,F32 -> B,8,F32``."""
    return write_model(RELU)


@pytest.fixture
def linear(write_model: WriteModel) -> Path:
    """Folder of a model with a weight of ones called ``fc.weight``: ``2,3,F32 -> 2,4,F32``."""
    return write_model(LINEAR, **{"fc.weight": np.ones((4, 3), np.float32)})
