"""Models beside what they should equal. PyTorch is imported when `check_io` is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchtract.check.report import IoReport
from torchtract.check.stream import StreamReport, check_stream

if TYPE_CHECKING:
    from torchtract.check.io import check_io

__all__ = ["IoReport", "StreamReport", "check_io", "check_stream"]


def __getattr__(name: str) -> Any:
    if name != "check_io":
        raise AttributeError(f"module 'torchtract.check' has no attribute {name!r}")
    from torchtract.check.io import check_io

    return check_io
