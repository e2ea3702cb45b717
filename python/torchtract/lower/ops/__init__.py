"""The lowerings, one file for each family of operators. Importing this registers them."""

from torchtract.lower.ops import activation, compare, create, division, elementwise, reduce

__all__ = ["activation", "compare", "create", "division", "elementwise", "reduce"]
