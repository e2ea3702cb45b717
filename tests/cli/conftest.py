"""A small model, recordings of it, and a way to call the command line."""

from __future__ import annotations

import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner, Result

from torchtract import load
from torchtract.cli import app

Torchtract: TypeAlias = Callable[..., Result]
Record: TypeAlias = Callable[..., Path]
WriteGraph: TypeAlias = Callable[..., Path]
WriteWav: TypeAlias = Callable[..., Path]

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

#: A convolution that halves the number of frames, and comes behind.
ENCODER = """
version 1.0;
extension tract_registry tract_core;
extension tract_symbol B;
extension tract_symbol S;
extension tract_assert B >= 1;

graph network(audio) -> (y)
{
    audio = tract_core_external(shape = [B, 1, S], datum_type = 'f32');
    y = conv(audio, [[[-1.0, 1.0, 0.5, 0.25, -0.5]]], 0.0, stride = [2], padding = [(2, 2)]);
}
"""

#: ``x``, ``y`` with twice as many frames, and a ``gain`` that does not stream.
MIXER = """
version 1.0;
extension tract_registry tract_core;
extension tract_symbol S;

graph network(x, y, gain) -> (a, b, c)
{
    x = tract_core_external(shape = [S, 3], datum_type = 'f32');
    y = tract_core_external(shape = [1, 2*S], datum_type = 'f32');
    gain = tract_core_external(shape = [1], datum_type = 'f32');
    a = x * unsqueeze(gain, axes = [0]);
    b = y * unsqueeze(gain, axes = [0]);
    c = gain * 2.0;
}
"""
#: Of 16 bits.
SAMPLES = np.random.default_rng(0).integers(-30000, 30000, 1003)


def facts(text: str) -> dict[str, str]:
    """The rows of the table that ``stream`` begins with: what each is called, and its value."""
    table = text.partition("\n\n")[2].partition("\n\n")[0]
    names_and_values = (re.split(r"\s{2,}", line) for line in table.splitlines())
    return dict(names_and_values)


def arrays_of(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file, by name."""
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder: ``x: B,4,F32`` and ``ids: B,I64`` to ``y = 2 tanh(x)`` and ``next = ids + 1``."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "graph.nnef").write_text(GRAPH)
    return folder


@pytest.fixture
def graph(tmp_path: Path) -> WriteGraph:
    """Writes the text of a graph as a folder of this name."""

    def write(text: str, name: str = "graph") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "graph.nnef").write_text(text)
        return folder

    return write


@pytest.fixture
def encoder(graph: WriteGraph) -> Path:
    """A folder: ``audio: B,1,S,F32`` to ``y: B,1,(S+1)/2,F32``, which streams."""
    return graph(ENCODER, "encoder.nnef.tgz")


@pytest.fixture
def pulsed(encoder: Path) -> Path:
    """The encoder with pulses of 8."""
    path = encoder.with_name("pulsed.nnef.tgz")
    load(encoder).pulse(S=8).save(path)
    return path


@pytest.fixture
def wav(tmp_path: Path) -> WriteWav:
    """Writes whole numbers, [channels, samples], to a ``.wav`` file of this name."""

    def write(name: str, samples: npt.ArrayLike, width: int = 2, rate: int = 16000) -> Path:
        array = np.atleast_2d(np.asarray(samples))
        unsigned = array + 128 if width == 1 else array
        data = unsigned.T.reshape(-1).astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(len(array))
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(data.tobytes())
        return tmp_path / name

    return write


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
