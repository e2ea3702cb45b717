"""Whatever a user passes as an input, as an array that the native module can copy."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError

_SIZES = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}


def as_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Gives `value` as a contiguous array in native byte order.

    The native module calls this for what is not such an array already: arrays of any other
    layout, torch tensors on any device, and whatever else ``numpy.asarray`` takes. bfloat16, which
    tract lacks, is widened to float32, which holds each of its values.

    Args:
        name: the input's name, for the error.
        value: what the user passed for it.

    Raises:
        RunError: `value` is no array, or its elements have a type that tract lacks.
    """
    try:
        array = np.asarray(_without_torch(value))
    except (RuntimeError, TypeError, ValueError) as e:
        raise RunError(f"input {name}: a {type(value).__name__} is no array: {e}") from e
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.itemsize not in _SIZES.get(array.dtype.kind, ()):
        raise RunError(
            f"input {name}: got a {type(value).__name__} of {array.dtype}, which tract lacks"
        )
    return np.require(array, array.dtype.newbyteorder("="), "C")


def _without_torch(value: Any) -> Any:
    """Gives a torch tensor as an array, and anything else as it is."""
    torch = sys.modules.get("torch")  # a tensor can only exist if torch was imported
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu().resolve_conj().resolve_neg()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
