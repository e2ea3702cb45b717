"""Biases by distance that Falcon computes in bfloat16, which tract does not: a table of them.

Source: Press et al., Train Short, Test Long, 2021 (arXiv 2108.12409).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

__all__ = ["alibi_by_table"]


@contextmanager
def alibi_by_table(model: PreTrainedModel, longest: int | None) -> Iterator[None]:
    """Let Falcon look up its biases, which it has computed before for the longest text."""
    module: Any = sys.modules[type(model).__module__]
    if model.config.model_type != "falcon" or longest is None or not model.config.alibi:
        yield
        return
    build = module.build_alibi_tensor
    ones = torch.ones(1, longest, dtype=torch.long)
    table = build(ones, model.config.num_attention_heads, model.dtype)

    def looked_up(attention_mask: Tensor, *_: Any, **__: Any) -> Tensor:
        found: Tensor = table[..., torch.arange(attention_mask.shape[1])]
        return found

    module.build_alibi_tensor = looked_up
    try:
        yield
    finally:
        module.build_alibi_tensor = build
