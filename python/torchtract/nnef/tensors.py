"""Tensors of an NNEF archive: the `.dat` format, as every known version of tract reads it.

A header of 128 bytes, then the values in row-major order, little-endian, or by blocks.
"""

from __future__ import annotations

import math
import struct
from typing import IO

import numpy as np

from torchtract.errors import FormatError
from torchtract.nnef.block_quant import BLOCK, FORMATS, bytes_by_blocks, to_blocks
from torchtract.nnef.graph import Variable

__all__ = ["read_tensor", "tensor_header", "tensor_values", "write_tensor"]

HEADER_SIZE = 128
# magic, version, size of the data in bytes, rank, 8 sizes, bits per item, item type, vendor
_HEADER = struct.Struct("<2s2BII8IIHH76x")
_MAGIC = b"\x4e\xef"
_MAX_RANK = 8
_MAX_BYTES = 2**32 - 1
#: How many bits an item of a block has, and tract's codes of such.
_UNTOLD, _TRACT = 2**32 - 1, 0x5452

# NNEF's codes of the item types
_FLOAT, _UNSIGNED, _SIGNED, _BOOL = 0, 1, 4, 5
_TYPES = {
    "bool": (_BOOL, np.dtype("?")),
    "u8": (_UNSIGNED, np.dtype("u1")),
    "u16": (_UNSIGNED, np.dtype("<u2")),
    "u32": (_UNSIGNED, np.dtype("<u4")),
    "u64": (_UNSIGNED, np.dtype("<u8")),
    "i8": (_SIGNED, np.dtype("i1")),
    "i16": (_SIGNED, np.dtype("<i2")),
    "i32": (_SIGNED, np.dtype("<i4")),
    "i64": (_SIGNED, np.dtype("<i8")),
    "f16": (_FLOAT, np.dtype("<f2")),
    "f32": (_FLOAT, np.dtype("<f4")),
    "f64": (_FLOAT, np.dtype("<f8")),
}
# tract writes integers with the codes of quantised ones, 2 and 3, and reads both.
_ALIASES = {2: _UNSIGNED, 3: _SIGNED}


def tensor_header(variable: Variable) -> bytes:
    """The 128 bytes that stand before the values.

    Raises:
        FormatError: the format can't hold a tensor of this type, rank or size.
    """
    code, bits, vendor = _item_type(variable)
    rank = len(variable.shape)
    if rank > _MAX_RANK:
        raise _refused(variable, f"a .dat file holds at most {_MAX_RANK} axes, not {rank}")
    size = data_size(variable)
    if size > _MAX_BYTES:
        raise _refused(variable, f"a .dat file holds less than 4 GiB, not {size} bytes")
    sizes = (*variable.shape, *([0] * (_MAX_RANK - rank)))
    return _HEADER.pack(_MAGIC, 1, 0, size, rank, *sizes, bits, code, vendor)


def data_size(variable: Variable) -> int:
    """Bytes after the header."""
    if variable.block_quant:
        return bytes_by_blocks(math.prod(variable.shape))
    size = math.prod(variable.shape) * _type_of(variable)[1].itemsize
    # tract refuses a file of booleans without data, even where the tensor has no elements.
    return max(size, 1) if variable.datum_type == "bool" else size


def tensor_values(variable: Variable) -> memoryview:
    """The values as they stand in the file, loaded now; not a copy where numpy can lend them.

    Raises:
        FormatError: what `load` gives has another type or shape than the variable says.
    """
    _, dtype = _type_of(variable)
    array = variable.load()
    if array.dtype != dtype or array.shape != tuple(variable.shape):
        raise _refused(
            variable,
            f"its values are {array.dtype}{list(array.shape)}, which is not what it declares",
        )
    if variable.datum_type == "bool" and array.size == 0:
        return memoryview(bytes(1))
    if variable.block_quant:
        try:
            array = to_blocks(array)
        except ValueError as error:
            raise _refused(variable, str(error)) from error
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def write_tensor(stream: IO[bytes], variable: Variable) -> None:
    """Write one `.dat` file without a copy of the values in memory."""
    stream.write(tensor_header(variable))
    stream.write(tensor_values(variable))


def read_tensor(stream: IO[bytes]) -> np.ndarray:
    """Read one `.dat` file.

    Raises:
        FormatError: it is no such file, it is cut, or its element type is not known.
    """
    header = stream.read(HEADER_SIZE)
    if len(header) < HEADER_SIZE or not header.startswith(_MAGIC):
        raise FormatError("not a .dat file: it lacks the header of an NNEF tensor.")
    _, _, _, size, rank, *sizes, bits, code, vendor = _HEADER.unpack(header)
    item_type = (_ALIASES.get(code, code), bits)
    dtype = next((d for c, d in _TYPES.values() if (c, d.itemsize * 8) == item_type), None)
    if vendor or dtype is None or rank > _MAX_RANK:
        raise FormatError(
            f".dat file: item type {code} of vendor {vendor} with {bits} bits and {rank} axes "
            "is not supported."
        )
    shape = tuple(sizes[:rank])
    needed = math.prod(shape) * dtype.itemsize
    data = bytearray(stream.read(size))
    if len(data) < needed:
        raise FormatError(f".dat file: cut short, with {len(data)} of {needed} bytes.")
    return np.frombuffer(data, dtype, math.prod(shape)).reshape(shape)


def _item_type(variable: Variable) -> tuple[int, int, int]:
    """Code of the items, bits of each, and whose code it is."""
    code, dtype = _type_of(variable)
    if not variable.block_quant:
        return code, dtype.itemsize * 8, 0
    if len(variable.shape) < 2 or variable.shape[-1] % BLOCK:
        raise _refused(
            variable,
            f"{variable.block_quant} stores rows of a multiple of {BLOCK} values, not "
            f"{list(variable.shape)}",
        )
    return FORMATS[variable.block_quant], _UNTOLD, _TRACT


def _type_of(variable: Variable) -> tuple[int, np.dtype]:
    if variable.datum_type not in _TYPES:
        raise _refused(
            variable,
            f"tract stores no tensors of element type {variable.datum_type}, "
            f"only {', '.join(_TYPES)}",
        )
    return _TYPES[variable.datum_type]


def _refused(variable: Variable, why: str) -> FormatError:
    return FormatError(
        f"variable {variable.label!r}: can't be written, since {why}; change its type or shape."
    )
