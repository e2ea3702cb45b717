"""PyTorch models as NNEF archives, and tract in the same process to load, run and check them.

Exporting and checking need PyTorch and import it when they are first used; loading and
running don't.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from torchtract import errors
from torchtract._native import __version__
from torchtract.runtime import (
    Fact,
    Model,
    PooledStream,
    Profile,
    PulsedModel,
    PulsedRunnable,
    Runnable,
    Stream,
    StreamAxis,
    StreamPool,
    StreamSnapshot,
    load,
)

if TYPE_CHECKING:
    from torchtract import llm
    from torchtract.check import IoReport, StreamReport, check_io, check_stream
    from torchtract.export import TractNNEF, export_model_to_nnef

__all__ = [
    "Fact",
    "IoReport",
    "Model",
    "PooledStream",
    "Profile",
    "PulsedModel",
    "PulsedRunnable",
    "Runnable",
    "Stream",
    "StreamAxis",
    "StreamPool",
    "StreamReport",
    "StreamSnapshot",
    "TractNNEF",
    "__version__",
    "check_io",
    "check_stream",
    "errors",
    "export_model_to_nnef",
    "llm",
    "load",
]

_NEED_TORCH = {
    "IoReport": "torchtract.check",
    "StreamReport": "torchtract.check",
    "check_stream": "torchtract.check",
    "check_io": "torchtract.check",
    "TractNNEF": "torchtract.export",
    "export_model_to_nnef": "torchtract.export",
}


def __getattr__(name: str) -> Any:
    if name == "llm":
        return import_module("torchtract.llm")
    if name not in _NEED_TORCH:
        raise AttributeError(f"module 'torchtract' has no attribute {name!r}")
    try:
        return getattr(import_module(_NEED_TORCH[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"torchtract.{name}: can't be used, since it needs PyTorch, which is not installed; "
            "pip install 'torchtract[export]'."
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
