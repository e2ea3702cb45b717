"""From a module, example arguments and dynamic axes to one exported program."""

from torchtract.capture import light_import  # noqa: F401  (before torch.export)
from torchtract.capture.axes import DynamicAxes
from torchtract.capture.program import Capture, capture

__all__ = ["Capture", "DynamicAxes", "capture"]
