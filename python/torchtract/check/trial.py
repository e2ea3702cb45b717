"""What PyTorch and tract make of the same inputs, as arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

__all__ = ["Trial", "arrays_of", "to_numpy"]


@dataclass(frozen=True)
class Trial:
    """One set of inputs, and what came out of them.

    Attributes:
        sizes: of every symbol.
        inputs: by name, in order.
        expected: PyTorch's outputs by name, in order.
        actual: tract's, none where it failed or did not run.
    """

    sizes: Mapping[str, int]
    inputs: Mapping[str, torch.Tensor]
    expected: Mapping[str, np.ndarray]
    actual: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        module: torch.nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        inputs: Sequence[str],
        outputs: Sequence[str],
        sizes: Mapping[str, int],
    ) -> Trial:
        """PyTorch's part of it: the module run on these arguments.

        Args:
            module: in evaluation mode.
            args: positional arguments.
            kwargs: keyword arguments.
            inputs: a name for each tensor among the arguments.
            outputs: names of its output tensors. Any further ones are numbered.
            sizes: of every symbol.
        """
        with torch.no_grad():
            results = arrays_of(module(*args, **kwargs))
        names = [*outputs, *(f"output_{i}" for i in range(len(outputs), len(results)))]
        tensors = _tensors((tuple(args), dict(kwargs)))
        return cls(
            sizes,
            dict(zip(inputs, tensors, strict=True)),
            dict(zip(names, results, strict=False)),
        )


def arrays_of(outputs: Any) -> list[np.ndarray]:
    """The tensors among a module's outputs as arrays, in PyTorch's order."""
    return [to_numpy(tensor) for tensor in _tensors(outputs)]


def _tensors(structure: Any) -> list[torch.Tensor]:
    return [x for x in pytree.tree_leaves(structure) if isinstance(x, torch.Tensor)]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor of any device, as an array that shares its memory where it can."""
    return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
