"""PyTorch and tract side by side. PyTorch is imported when `check_io` is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchtract.check.report import IoReport

if TYPE_CHECKING:
    from torchtract.check.io import check_io

__all__ = ["IoReport", "check_io"]


def __getattr__(name: str) -> Any:
    if name != "check_io":
        raise AttributeError(f"module 'torchtract.check' has no attribute {name!r}")
    from torchtract.check.io import check_io

    return check_io
