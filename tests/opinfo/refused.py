"""The calls of PyTorch's samples that are refused, and why: by operator and element type."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REFUSED", "Refused"]


@dataclass(frozen=True)
class Refused:
    """Operators that are refused for one reason.

    Attributes:
        reason: what the message says, or a part of it.
        operators: their names.
        dtypes: for which element types, by default all.
        some: whether that holds for some of the samples, or for all.
    """

    reason: str
    operators: frozenset[str]
    dtypes: frozenset[str] = frozenset()
    some: bool = False

    def covers(self, operator: str, dtype: str) -> bool:
        """Whether samples of this operator and type are refused for this reason."""
        return operator in self.operators and (not self.dtypes or dtype in self.dtypes)


def _refused(reason: str, operators: str, *, dtypes: str = "", some: bool = False) -> Refused:
    return Refused(reason, frozenset(operators.split()), frozenset(dtypes.split()), some)


REFUSED: tuple[Refused, ...] = ()
