"""Numbers that are none, or too large for their type: such a model gives nothing but NaN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from torchtract.errors import CaptureError, FormatError
from torchtract.llm.exporter.shards import Load

__all__ = ["check_logits", "check_weights", "finite_loads"]


def check_weights(model: torch.nn.Module, loads: Mapping[str, Load]) -> None:
    """Refuse parameters with infinities, and anything with NaN.

    A buffer may hold infinities: a mask does.

    Args:
        model: it may have been cast to half precision.
        loads: by name, what gives those that it does not hold; these are left out.

    Raises:
        FormatError: one has such values.
    """
    for name, weight in model.named_parameters():
        if name not in loads:
            _check(name, weight.detach())
    for name, buffer in model.named_buffers():
        if torch.isnan(buffer).any():
            raise FormatError(f"{name}: has values that are NaN; set it, or load it from its file.")


def finite_loads(loads: Mapping[str, Load]) -> dict[str, Load]:
    """The same, which refuse values as `check_weights` does, when they are loaded."""

    def checked(name: str, load: Load) -> Load:
        def loaded() -> np.ndarray:
            array = load()
            _check(name, torch.from_numpy(array))
            return array

        return loaded

    return {name: checked(name, load) for name, load in loads.items()}


def check_logits(logits: Tensor) -> None:
    """Refuse a model that gives NaN or infinities: no token can be chosen by these.

    Raises:
        CaptureError: it does.
    """
    if not torch.isfinite(logits).all():
        raise CaptureError(
            f"model: gives logits that are not finite in {_name(logits.dtype)}, by which no token "
            "can be chosen; mend its weights, or give dtype=torch.float32 if they are too large "
            "for half precision."
        )


def _check(name: str, weight: Tensor) -> None:
    if not weight.numel():
        return
    # NaN is both; torch.isfinite of the whole would take half as much memory again as a weight.
    smallest_and_largest = torch.stack(torch.aminmax(weight))
    if not torch.isfinite(smallest_and_largest).all():
        largest = torch.finfo(weight.dtype).max
        raise FormatError(
            f"{name}: has values that are not finite or beyond {largest:g}, the largest of "
            f"{_name(weight.dtype)}; mend it, or give dtype=torch.float32 if that holds them."
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
