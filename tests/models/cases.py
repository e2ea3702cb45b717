"""What a model of another library needs to be exported: how to make it, and its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["ModelCase"]


@dataclass(frozen=True)
class ModelCase:
    """A model with random weights, its example inputs, and the sizes it is checked at.

    Attributes:
        name: as its library calls it.
        make: gives the module, in eval mode.
        inputs: gives its example arguments for these sizes of the symbols.
        dynamic_axes: as `TractNNEF` takes them.
        traced: sizes of the symbols at which it is exported.
        sizes: other sizes at which it is compared with PyTorch.
        assertions: `custom_extensions` of the export, such as `tract_assert S <= 64`.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    inputs: Callable[..., tuple[Any, ...]]
    dynamic_axes: Mapping[str, Mapping[int, str]]
    traced: Mapping[str, int]
    sizes: tuple[Mapping[str, int], ...]
    assertions: tuple[str, ...] = field(default=())
