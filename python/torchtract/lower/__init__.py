"""From an exported PyTorch program to an NNEF graph."""

from torchtract.lower import ops
from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.entries import scoped_lowerings
from torchtract.lower.plugins import load_plugins
from torchtract.lower.program import lower
from torchtract.lower.registry import lowering_of, lowers, registered
from torchtract.lower.value import Fact, Value
from torchtract.lower.whole_modules import lowers_module, whole_modules_of

__all__ = [
    "Builder",
    "Fact",
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
    "scoped_lowerings",
    "whole_modules_of",
]
