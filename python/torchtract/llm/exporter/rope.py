"""Rotary embeddings whose frequencies change when a text gets longer, held at those of shorter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from torchtract.errors import CaptureError

__all__ = ["steady_frequencies"]


@contextmanager
def steady_frequencies(model: torch.nn.Module, longest: int | None) -> Iterator[None]:
    """Keep the frequencies that a model begins with, for texts that don't get beyond these.

    `longrope` has others once a text is longer than `original_max_position_embeddings`, and
    `dynamic` beyond `max_position_embeddings`.

    Raises:
        CaptureError: texts may get longer.
    """
    changing: list[tuple[Any, Any]] = [
        (module, module.rope_type)
        for module in model.modules()
        if any(kind in ("dynamic", "longrope") for kind in _kinds(module).values())
    ]
    for module, _ in changing:
        for layers, kind in _kinds(module).items():
            _check(module, layers, kind, longest)
    try:
        for module, kinds in changing:
            several = isinstance(kinds, dict)
            module.rope_type = dict.fromkeys(kinds, "default") if several else "default"
        yield
    finally:
        for module, kinds in changing:
            module.rope_type = kinds


def _kinds(module: Any) -> Mapping[str, str]:
    """By type of layers, "" for all."""
    kinds = getattr(module, "rope_type", None)
    if isinstance(kinds, dict):
        return kinds
    return {"": kinds} if isinstance(kinds, str) else {}


def _check(module: Any, layers: str, kind: str, longest: int | None) -> None:
    parameters = module.config.rope_parameters
    parameters = parameters[layers] if layers else parameters
    limits = {
        "dynamic": module.config.max_position_embeddings,
        "longrope": parameters.get("original_max_position_embeddings"),
    }
    limit = limits.get(kind)
    if kind in limits and (longest is None or limit is None or longest > limit):
        raise CaptureError(
            f"rope_type={kind!r}: can't be exported for texts of up to {longest} tokens, since the "
            f"frequencies change beyond {limit}; give max_length={limit} or less."
        )
