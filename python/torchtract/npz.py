"""Arrays by name, as `.npz` files hold them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import IO, Any, TypeAlias
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from torchtract.errors import RunError

__all__ = ["Arrays", "load_npz", "save_npz"]

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

# What zipfile and numpy raise, among other things for an encrypted file.
_UNREADABLE = (BadZipFile, zlib.error, EOFError, MemoryError, OSError, RuntimeError, ValueError)


def load_npz(stream: IO[bytes], name: str) -> Arrays:
    """Reads all arrays of an `.npz` file.

    Args:
        stream: the file, open for reading, and seekable.
        name: what to call it in the error.

    Raises:
        RunError: it is no `.npz` file, a damaged one, or one with pickled objects.
    """
    try:
        with NpzFile(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except _UNREADABLE as e:
        raise RunError(
            f"{name}: can't be read as an .npz file: {e}. Write one with "
            "numpy.savez(path, name=array, ...), its names being those of the inputs."
        ) from e


def save_npz(stream: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes arrays as an `.npz` file.

    `numpy.savez` takes the names as keyword arguments, and so can't write all of them.

    Raises:
        OSError: it can't be written.
    """
    with ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
