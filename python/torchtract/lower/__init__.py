"""From an exported PyTorch program to an NNEF graph."""

from torchtract.lower import ops
from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.plugins import load_plugins
from torchtract.lower.program import lower
from torchtract.lower.registry import lowering_of, lowers, registered
from torchtract.lower.value import Value
from torchtract.lower.whole_modules import lowers_module

__all__ = [
    "Builder",
    "Refusal",
    "Value",
    "load_plugins",
    "lower",
    "lowering_of",
    "lowers",
    "lowers_module",
    "ops",
    "registered",
    "require",
]
