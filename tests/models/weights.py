"""Random weights with which what a model gives depends on its inputs, and on every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["random_weights"]


def random_weights(
    make: Callable[[], torch.nn.Module], *args: Any, seed: int = 0
) -> torch.nn.Module:
    """Make a model in eval mode, none of whose layers starts out as zeros or as the identity.

    Libraries begin with heads of zeros, scales of 1e-6 and norms that change nothing: a model that
    gives a constant, or leaves half of its layers out, would be right by chance.

    Args:
        make: gives the module.
        args: arguments for its forward, of several rows, from which batch norms take their
            statistics. Without that, deep networks lose their input on the way.
        seed: of the random numbers.
    """
    torch.manual_seed(seed)
    module = make().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.isfinite().all():  # torch.empty
                parameter.normal_(std=0.1)
            elif parameter.numel() > 1 and parameter.min() == parameter.max():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for name, buffer in module.named_buffers():
            if name.rpartition(".")[2].startswith("embed") and buffer.min() == buffer.max():
                buffer.add_(torch.randn_like(buffer), alpha=0.1)  # a codebook, which starts as 0
        # PyTorch's own let the input fade away, but where a norm or Snake's sines keep it up.
        kinds = {type(m).__name__ for m in module.modules()}
        if not any("Norm" in kind or "Snake" in kind for kind in kinds):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(6**0.5)
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
        if norms:
            _take_statistics(module, norms, args)
    return module


def _take_statistics(
    module: torch.nn.Module, norms: list[_BatchNorm], args: tuple[Any, ...]
) -> None:
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    module(*args)
    for norm, momentum in zip(norms, before, strict=True):
        norm.eval().momentum = momentum
