"""Language models: exported with their caches, and generating text in Python.

Exporting needs PyTorch and transformers and imports them when it is first used; generating
does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchtract.llm.adapters import swap_adapter

if TYPE_CHECKING:
    from torchtract.llm.exporter import export

__all__ = ["export", "swap_adapter"]


def __getattr__(name: str) -> Any:
    if name != "export":
        raise AttributeError(f"module 'torchtract.llm' has no attribute {name!r}")
    from torchtract.llm.exporter import export

    return export
