"""PyTorch and tract side by side."""

from torchtract.check.io import check_io
from torchtract.check.report import IoReport

__all__ = ["IoReport", "check_io"]
