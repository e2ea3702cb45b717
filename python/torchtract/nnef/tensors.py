"""Tensors of an NNEF archive: the `.dat` format, as tract reads it.

A header of 128 bytes, then the values in row-major order, little-endian. Block-quantised
formats are not written here.
"""

from __future__ import annotations

import math
import struct
from typing import BinaryIO

import numpy as np

from torchtract.errors import FormatError
from torchtract.nnef.graph import Variable

__all__ = ["check_variable", "read_tensor", "tensor_header", "tensor_size", "tensor_values"]

#: magic, version 1.0, data size in bytes, rank, sizes, bits per item, item type, vendor.
_HEADER = struct.Struct("<2s2BII8IIHH76x")
_MAGIC = b"\x4e\xef"
_MAX_RANK = 8
_MAX_BYTES = 2**32 - 1
