"""Gradients and autocast in a module's code: left out where they change nothing, else refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

import torch
from torch._functorch import eager_transforms

__all__ = ["modes_left_alone"]


@contextmanager
def modes_left_alone() -> Iterator[None]:
    """Neither `enable_grad` nor `autocast` is set: torch.export makes graphs apart of their blocks.

    Nothing that is computed depends on the first, as long as no derivative is taken. The second
    changes nothing where it is off, and is refused where it is on.
    """
    with (
        patch.object(torch.autograd, "_engine_run_backward", _differentiate),
        patch.object(eager_transforms, "_autograd_grad", _differentiate),
        patch("torch._C._set_grad_enabled", lambda _: None),
        patch.object(torch.autocast, "__enter__", _enter_autocast),
        patch.object(torch.autocast, "__exit__", lambda *_: None),
    ):
        yield


def _differentiate(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("derivatives are taken there, which torch.export can't follow")


def _enter_autocast(mode: Any) -> Any:
    if mode._enabled:  # noqa: SLF001  (nothing else says it)
        raise NotImplementedError(
            f"torch.autocast computes in {mode.fast_dtype} there, at places that only PyTorch knows"
        )
    return mode
