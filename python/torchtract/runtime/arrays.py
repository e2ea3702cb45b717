"""Whatever a user passes as an input, as a numpy array that the engine can copy."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError

_KINDS = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}


def as_array(value: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """Returns `value` as a contiguous array in native byte order.

    Takes numpy arrays of any layout, torch tensors of any device that require a gradient or not,
    and whatever else ``numpy.asarray`` takes. bfloat16, which tract does not have, is widened to
    float32, which holds each of its values exactly.

    Raises:
        RunError: the elements have a type that tract does not have.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype == torch.bfloat16:
            value = value.float()
        value = value.resolve_conj().resolve_neg().numpy()
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.itemsize not in _KINDS.get(array.dtype.kind, ()):
        raise RunError(
            f"an input of type {type(value).__name__} has elements of dtype {array.dtype}: "
            "tract has no such type"
        )
    return np.require(array, array.dtype.newbyteorder("="), "C")
