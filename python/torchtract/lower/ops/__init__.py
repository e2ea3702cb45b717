"""The lowerings, one file for each family of operators. Importing this registers them."""

from torchtract.lower.ops import elementwise

__all__ = ["elementwise"]
