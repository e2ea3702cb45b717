"""From an exported PyTorch program to an NNEF graph."""

from torchtract.lower import ops
from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.program import lower
from torchtract.lower.registry import lowering_of, lowers, registered
from torchtract.lower.value import Value

__all__ = [
    "Builder",
    "Refusal",
    "Value",
    "lower",
    "lowering_of",
    "lowers",
    "ops",
    "registered",
    "require",
]
