"""Arrays by name: read from ``.npz`` files, written to them, or made at random."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError, SymbolError
from torchtract.runtime import Fact

__all__ = ["Arrays", "random_arrays", "read_npz", "write_npz"]

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

_UNREADABLE = (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path) -> Arrays:
    """Reads all arrays of an ``.npz`` file.

    Raises:
        OSError: it can't be opened.
        RunError: it is no ``.npz`` file, a damaged one, or one with pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (
        ValueError,
        TypeError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        raise RunError(
            f"{path}: not an .npz file that can be read: {e}. Write one with "
            "numpy.savez(path, name=array, ...), the names being those of the inputs."
        ) from e


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes arrays to an ``.npz`` file. Nothing stays of it if that fails.

    `numpy.savez` takes the names as keyword arguments, and so can't write all of them.

    Raises:
        OSError: it can't be written.
    """
    with path.open("wb") as file:
        try:
            with zipfile.ZipFile(file, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def random_arrays(facts: Iterable[Fact]) -> Arrays:
    """Makes an array for each input: uniform in 0..1, integers and booleans 0 or 1.

    Raises:
        SymbolError: a symbol in a shape has no value.
        RunError: an array would be too large.
    """
    random = np.random.default_rng(0)
    return {fact.name: _random_array(fact, random) for fact in facts}


def _random_array(fact: Fact, random: np.random.Generator) -> npt.NDArray[Any]:
    shape = [size for size in fact.shape if isinstance(size, int)]
    if len(shape) < len(fact.shape):
        raise SymbolError(
            f"input {fact.name}: no random one can be made: Expected concrete shape, "
            f"found: {fact.spec}. Give its symbols values with --set, or the model its inputs "
            "with --input."
        )
    dtype = np.dtype(fact.dtype)
    try:
        if dtype.kind in "fc":
            return random.random(shape).astype(dtype)
        return random.integers(0, 2, shape).astype(dtype)
    except (MemoryError, ValueError) as e:
        raise RunError(f"input {fact}: no random one can be made: {e}") from e
