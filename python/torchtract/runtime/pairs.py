"""Complex inputs and outputs, which tract has as pairs of real numbers on one more, last axis."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError
from torchtract.runtime.arrays import as_array
from torchtract.runtime.fact import Fact

__all__ = ["COMPLEX", "Pairs", "facts_of", "names_of_pairs"]

COMPLEX = "torchtract.complex"
"""Property of a file: names of the inputs and outputs that are pairs, by blanks."""

_COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}
_REAL_OF = {name: real for real, name in _COMPLEX_OF.items()}

_Given = TypeVar("_Given")
_FactTuple: TypeAlias = "tuple[str, str, tuple[int | str, ...]]"


class _Described(Protocol):
    """What native models have in common."""

    def inputs(self) -> list[_FactTuple]: ...
    def outputs(self) -> list[_FactTuple]: ...
    def properties(self) -> dict[str, Any]: ...


def names_of_pairs(native: _Described) -> frozenset[str]:
    """Names of the inputs and outputs that are pairs.

    A file that was changed after it was exported may have something else by such a name.
    """
    told = str(native.properties().get(COMPLEX, "")).split()
    if not told:
        return frozenset()
    pairs = (
        name
        for name, dtype, shape in (*native.inputs(), *native.outputs())
        if dtype in _COMPLEX_OF and shape[-1:] == (2,)
    )
    return frozenset(pairs) & frozenset(told)


def facts_of(facts: Iterable[_FactTuple], pairs: Container[str]) -> tuple[Fact, ...]:
    """Facts from the native module's, those of pairs as those of complex numbers."""
    return tuple(
        Fact(name, _COMPLEX_OF[dtype], shape[:-1]) if name in pairs else Fact(name, dtype, shape)
        for name, dtype, shape in facts
    )


class Pairs:
    """Gives tract pairs for complex numbers, and complex numbers for its pairs.

    Args:
        names: of the inputs and outputs that are pairs.
        inputs: facts of what is given, in order.
        outputs: facts of what comes out, in order.
    """

    def __init__(
        self, names: Container[str], inputs: Iterable[Fact], outputs: Iterable[Fact]
    ) -> None:
        self._inputs = [fact if fact.name in names else None for fact in inputs]
        self._outputs = [fact.dtype if fact.name in names else None for fact in outputs]

    def around(self, run: Callable[[tuple[Any, ...]], Any]) -> Callable[[tuple[Any, ...]], Any]:
        """A native model's `run`, for complex numbers."""

        def run_complex(values: tuple[Any, ...]) -> Any:
            outputs = self.call(run, self.split(values))
            if len(self._outputs) == 1:
                return self.joined((outputs,))[0]
            return self.joined(outputs)

        return run_complex

    def split(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Inputs with pairs for complex numbers. They are made, or refused, where they are read."""
        facts = [*self._inputs, *[None] * len(values)]
        return tuple(
            value if fact is None else _pairs_of(fact, value)
            for fact, value in zip(facts, values, strict=False)
        )

    def joined(self, outputs: Sequence[Any]) -> tuple[Any, ...]:
        """Outputs with complex numbers for pairs, in the same memory."""
        return tuple(
            array if dtype is None or array is None else array.view(dtype)[..., 0]
            for dtype, array in zip(self._outputs, outputs, strict=True)
        )

    def call(self, native: Callable[..., _Given], *arguments: Any) -> _Given:
        """What a native function gives; where it refuses, it tells of complex numbers."""
        try:
            return native(*arguments)
        except RunError as error:
            raise self.told(error) from None

    def told(self, error: Exception) -> Exception:
        """An error of the native module about pairs as one about complex numbers."""
        if not isinstance(error, RunError):
            return error
        text = str(error)
        for fact in filter(None, self._inputs):
            pair = rf"(?<!\w){re.escape(repr(_in_tract(fact)))}(?![\w,])"
            text = re.sub(pair, repr(fact), text)
            got = rf"(?<={re.escape(repr(fact))}: got )float\d+ \((.*?)(?:, )?2,?\)(?=: axis)"
            if match := re.search(got, text):
                sizes = f"{match[1]}," if match[1].isdigit() else match[1]
                text = f"{text[: match.start()]}{fact.dtype} ({sizes}){text[match.end() :]}"
        return type(error)(text)


def _pairs_of(fact: Fact, value: Any) -> Any:
    """A complex input as pairs: at once where they are a plain array's own memory."""
    if (
        type(value) is np.ndarray
        and value.dtype == fact.dtype
        and value.ndim == len(fact.shape) > 0
        and value.flags.c_contiguous
    ):
        return value.view(_REAL_OF[fact.dtype]).reshape(*value.shape, 2)
    return _Pair(fact, value)


class _Pair:
    """A complex input as the array of pairs that the native module asks for."""

    def __init__(self, fact: Fact, value: Any) -> None:
        self._fact = fact
        self._value = value

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        array = as_array(self._fact.name, self._value)
        wrong = f"input {self._fact}: got {array.dtype} {array.shape}: the"
        if array.dtype != self._fact.dtype:
            raise RunError(f"{wrong} dtype must be {self._fact.dtype}")
        if array.ndim != len(self._fact.shape):
            raise RunError(f"{wrong} shape must have {len(self._fact.shape)} axes")
        return array.reshape(*array.shape, 1).view(_REAL_OF[self._fact.dtype])


def _in_tract(fact: Fact) -> Fact:
    return Fact(fact.name, _REAL_OF[fact.dtype], (*fact.shape, 2))
