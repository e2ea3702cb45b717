"""Arrays by name: read from ``.npz`` files, written to them, or made at random."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError, SymbolError
from torchtract.npz import Arrays, load_npz, save_npz
from torchtract.runtime import Fact, Model

__all__ = ["Arrays", "random_inputs", "read_npz", "write_npz"]


def read_npz(path: Path) -> Arrays:
    """Reads all arrays of an ``.npz`` file.

    Raises:
        OSError: it can't be opened.
        RunError: it is no ``.npz`` file, a damaged one, or one with pickled objects.
    """
    with path.open("rb") as file:
        # A pipe, such as `<(python make_inputs.py)` in a shell, can only be read once.
        return load_npz(file if file.seekable() else io.BytesIO(file.read()), str(path))


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes arrays to an ``.npz`` file. Nothing stays of it if that fails.

    Raises:
        OSError: it can't be written.
    """
    with path.open("wb") as file:
        try:
            save_npz(file, arrays)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def random_inputs(model: Model) -> Arrays:
    """Makes an array for each input: uniform in 0..1, integers and booleans 0 or 1.

    Raises:
        SymbolError: a symbol in a shape has no value.
        RunError: an array would be too large.
    """
    for fact in model.inputs:
        if not all(isinstance(size, int) for size in fact.shape):
            raise SymbolError(
                f"input {fact.name}: no random one can be made: Expected concrete shape, found: "
                f"{fact.spec}. Give {', '.join(model.symbols)} a value with --set, or pass inputs "
                "with --input."
            )
    random = np.random.default_rng(0)
    return {fact.name: _random(fact, random) for fact in model.inputs}


def _random(fact: Fact, random: np.random.Generator) -> npt.NDArray[Any]:
    dtype, shape = np.dtype(fact.dtype), tuple(map(int, fact.shape))
    try:
        if dtype.kind == "c":
            real, imag = random.random((2, *shape))
            return np.asarray(real + 1j * imag).astype(dtype)
        if dtype.kind == "f":
            return random.random(shape).astype(dtype)
        return random.integers(0, 2, shape).astype(dtype)
    except (MemoryError, ValueError) as e:
        raise RunError(f"input {fact}: no random one can be made: {e}") from e
