"""From a module, example arguments and dynamic axes to one exported program."""

from torchtract.capture.axes import DynamicAxes
from torchtract.capture.program import Capture, capture

__all__ = ["Capture", "DynamicAxes", "capture"]
