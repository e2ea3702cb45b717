"""A small model, recordings of it, and a way to call the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner, Result

from torchtract.cli import app

Torchtract: TypeAlias = Callable[..., Result]
Record: TypeAlias = Callable[..., Path]

GRAPH = """
version 1.0;
extension tract_registry tract_core;
extension tract_symbol B;
extension tract_assert B >= 1;
extension KHR_enable_fragment_definitions;

fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[])
{
    properties = [('torchtract.modules', 'encoder encoder.layer')];
}

graph network(x, ids) -> (y, next)
{
    x = tract_core_external(shape = [B, 4], datum_type = 'f32');
    ids = tract_core_external(shape = [B], datum_type = 'i64');
    encoder_layer_tanh = tanh(x);
    y = mul(encoder_layer_tanh, 2.0);
    one = tract_core_cast(1, to = 'i64');
    next = add(ids, one);
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder: ``x: B,4,F32`` and ``ids: B,I64`` to ``y = 2 tanh(x)`` and ``next = ids + 1``."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "graph.nnef").write_text(GRAPH)
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Writes arrays, given by name, to an ``.npz`` file of this name."""

    def write(name: str, **arrays: npt.NDArray[Any]) -> Path:
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
        return tmp_path / name

    return write


@pytest.fixture
def inputs() -> dict[str, npt.NDArray[Any]]:
    """Inputs of `model`, B being 3."""
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    return {"x": x, "ids": np.array([7, 8, 9])}


@pytest.fixture
def outputs(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """What `model` has to make of `inputs`."""
    return {"y": 2 * np.tanh(inputs["x"]), "next": inputs["ids"] + 1}


@pytest.fixture
def torchtract() -> Torchtract:
    """Calls the command line; its standard output is no terminal."""

    def call(*args: str | Path, **env: str) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], env=env)

    return call
