"""A written language model against PyTorch, with its keys and values kept inside of tract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from torchtract.check.compare import compare, tolerance_for
from torchtract.check.trial import to_numpy
from torchtract.errors import MismatchError
from torchtract.llm.exporter.cached import CachedModel
from torchtract.llm.exporter.encoder_decoder import CachedDecoder
from torchtract.llm.exporter.files import ENCODER_NAME
from torchtract.runtime import load

__all__ = ["check_session"]

#: How many tokens are read in one go: a prompt, then one by one, then a piece of another text.
_PIECES = (5, 1, 1, 1, 4, 1)


def check_session(file: Path, module: CachedModel, longest: int | None, tolerance: str) -> None:
    """Compare what a session gives with what PyTorch gives for the whole text.

    Raises:
        EngineError: tract can't keep the model's caches, or fails.
        MismatchError: it gives other numbers.
    """
    session = load(file).causal().session(_context(file, module))
    begin = module.begin()
    ids = module.tokens(min(sum(_PIECES), longest or sum(_PIECES)))
    for piece in ids[0].split(_pieces(ids.shape[1])):
        actual = session.push(piece.numpy())
        with torch.no_grad():
            logits = module(ids[:, : session.length], *begin)[0][0, -1]
        level = tolerance_for(tolerance, to_numpy(logits).dtype)
        found = compare(actual, logits.float().numpy(), level)
        if not found.ok:
            raise MismatchError(
                f"after {session.length} tokens, the last {len(piece)} of them read at once, the "
                f"logits of a session differ from PyTorch's by up to {found.max_abs:.3g} "
                f"(tolerance {tolerance!r}): {found.actual} instead of {found.expected}.",
                output="logits",
                max_abs=found.max_abs,
                max_rel=found.max_rel,
                index=found.index,
            )


def _context(file: Path, module: CachedModel) -> dict[str, np.ndarray]:
    """What tract makes of the encoder's text, where there is an encoder."""
    if not isinstance(module, CachedDecoder):
        return {}
    encoder = load(file.with_name(ENCODER_NAME)).compile()
    return encoder.run({"input_ids": module.encoder.example().numpy()})


def _pieces(tokens: int) -> list[int]:
    """How many tokens to read in one go, all together."""
    pieces: list[int] = []
    for piece in _PIECES:
        pieces.append(min(piece, tokens - sum(pieces)))
    return [piece for piece in pieces if piece]
