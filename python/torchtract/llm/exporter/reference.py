"""The user's model beside the module that is exported, between them caches and attention."""

from __future__ import annotations

from typing import Any

import torch

from torchtract.check.compare import compare, tolerance_for
from torchtract.check.trial import to_numpy
from torchtract.errors import CaptureError
from torchtract.llm.exporter.cached import CachedModel, random_tokens
from torchtract.llm.exporter.source import evaluated

__all__ = ["check_alike", "check_longest", "logits_of"]

#: How many tokens are read.
_LENGTH = 13


def logits_of(model: Any, module: CachedModel, longest: int | None) -> torch.Tensor:
    """What the user's own model gives behind some tokens, read at once and without a cache.

    Args:
        model: the user's.
        module: what is exported of it.
        longest: of a text.
    """
    ids = _ids(model, longest)
    with evaluated(model), torch.no_grad():
        logits: torch.Tensor = model(**module.alone(ids)).logits[0, -1]
    return logits


def check_alike(
    expected: torch.Tensor, module: CachedModel, longest: int | None, level: str
) -> None:
    """Refuse a model that gives something else once it reads by caches.

    Raises:
        CaptureError: it does, or it fails.
    """
    ids = _ids(module.model, longest)
    try:
        with torch.no_grad():
            logits = to_numpy(module(ids, *module.begin())[0][0, -1])
    except Exception as error:
        raise CaptureError(
            "model: can't be exported with a cache, since it fails with one that keeps all keys "
            f"and values, or with attn_implementation='eager': {error}; mend its configuration, or "
            "export it without, by export_model_to_nnef."
        ) from error
    found = compare(logits, to_numpy(expected), tolerance_for(level, logits.dtype))
    if not found.ok:
        raise CaptureError(
            "model: can't be exported with a cache, since it gives other logits with one that "
            f"keeps all keys and values than without (by up to {found.max_abs:.3g}); export it "
            "without, by export_model_to_nnef."
        )


def check_longest(module: CachedModel, longest: int) -> None:
    """Refuse a model that fails at the end of its longest text.

    Raises:
        CaptureError: it does.
    """
    inputs = zip(module.input_names[1:], module.begin(), strict=True)
    past = [
        cache.new_zeros(*cache.shape[:2], longest - 1, *cache.shape[3:])
        if "P" in module.axes[name].values()
        else cache
        for name, cache in inputs
    ]
    try:
        with torch.no_grad():
            module(module.tokens(1), *past)
    except Exception as error:
        raise CaptureError(
            f"model: fails at the end of a text of {longest} tokens, its longest by its "
            f"configuration: {error}; give as max_length how many it reads."
        ) from error


def _ids(model: Any, longest: int | None) -> torch.Tensor:
    return random_tokens(model, min(_LENGTH, longest or _LENGTH), seed=1)
