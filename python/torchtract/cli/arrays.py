"""Arrays by name: read from ``.npz`` files, written to them, or made at random."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from torchtract.errors import RunError, SymbolError
from torchtract.runtime import Fact, Model

__all__ = ["Arrays", "random_inputs", "read_npz", "write_npz"]

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

# What zipfile and numpy raise, among other things for an encrypted file.
_UNREADABLE = (BadZipFile, zlib.error, EOFError, MemoryError, OSError, RuntimeError, ValueError)


def read_npz(path: Path) -> Arrays:
    """Reads all arrays of an ``.npz`` file.

    Raises:
        OSError: it can't be opened.
        RunError: it is no ``.npz`` file, a damaged one, or one with pickled objects.
    """
    with path.open("rb") as file:
        try:
            with NpzFile(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except _UNREADABLE as e:
            raise RunError(
                f"{path}: can't be read as an .npz file: {e}. Write one with "
                "numpy.savez(path, name=array, ...), its names being those of the inputs."
            ) from e


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes arrays to an ``.npz`` file. Nothing stays of it if that fails.

    `numpy.savez` takes the names as keyword arguments, and so can't write all of them.

    Raises:
        OSError: it can't be written.
    """
    with path.open("wb") as file:
        try:
            with ZipFile(file, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
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
        if dtype.kind in "fc":
            return random.random(shape).astype(dtype)
        return random.integers(0, 2, shape).astype(dtype)
    except (MemoryError, ValueError) as e:
        raise RunError(f"input {fact}: no random one can be made: {e}") from e
