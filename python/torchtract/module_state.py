"""What a module's code writes on its modules while it is traced, taken back afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["unchanged"]


@contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Leave all attributes of a module, and what is in its lists and dicts, as they were.

    A table that `forward` makes once and keeps (`self.table = ...`) holds no data while tracing:
    kept, it would break the module, and the next trace at other sizes.
    """
    before = [(vars(m), {k: (v, _content(v)) for k, v in vars(m).items()}) for m in model.modules()]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The tensor attribute", UserWarning)
            yield
    finally:
        for attributes, saved in before:
            for name in attributes.keys() - saved.keys():
                del attributes[name]
            for name, (value, content) in saved.items():
                attributes[name] = value
                _restore(value, content)


def _content(value: Any) -> Any:
    return value.copy() if isinstance(value, (list, dict, set)) else None


def _restore(value: Any, content: Any) -> None:
    if isinstance(value, list):
        value[:] = content
    elif isinstance(value, (dict, set)):
        value.clear()
        value.update(content)
