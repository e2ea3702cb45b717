"""Questions of a module's code that have another answer where an axis is empty.

To torch's tracer no size is 0, unless the user asserts `S >= 0`: it takes `S == 0` for False and
`max(S, 1)` for S, and notes no guard. What it makes of such code holds from a size of 1 on.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any

import sympy
import torch
from torch import SymBool, SymFloat, SymInt
from torch.overrides import TorchFunctionMode
from torch.utils._sympy.functions import Max, Min

from torchtract.capture.guards import BETWEEN, NOT_THE_USERS, line_of

__all__ = ["recorded_questions"]

#: The methods by which Python code asks, and what they say.
_METHODS: dict[str, Callable[..., Any]] = {
    "__eq__": sympy.Eq,
    "__ne__": sympy.Ne,
    "__lt__": sympy.Lt,
    "__le__": sympy.Le,
    "__gt__": sympy.Gt,
    "__ge__": sympy.Ge,
    "__abs__": sympy.Abs,
}
#: The functions by which it does, `max` and `min` among them, and what they say.
_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.sym_max: Max, torch.sym_min: Min}

#: For each size that has to be above 0, the user's line.
_Found = dict[sympy.Symbol, str]


@contextmanager
def recorded_questions() -> Iterator[_Found]:
    """Record which sizes the user's code needs to be above 0, each with the first such line."""
    found: _Found = {}
    originals = [(kind, m, getattr(kind, m)) for kind in (SymInt, SymFloat) for m in _METHODS]
    for kind, method, original in originals:
        setattr(kind, method, _recording(original, _METHODS[method], found))
    try:
        with _Recorder(found):
            yield found
    finally:
        for kind, method, original in originals:
            setattr(kind, method, original)


def _recording(
    original: Callable[..., Any], meaning: Callable[..., Any], found: _Found
) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(*numbers: Any) -> Any:
        answer = original(*numbers)
        _note(answer, meaning, numbers, found)
        return answer

    return method


class _Recorder(TorchFunctionMode):
    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func in _FUNCTIONS:
            _note(answer, _FUNCTIONS[func], args, self.found)
        return answer


def _note(answer: Any, meaning: Callable[..., Any], numbers: Sequence[Any], found: _Found) -> None:
    frame = inspect.currentframe()
    while frame is not None and _is_between(frame.f_code):
        frame = frame.f_back
    if frame is not None and not frame.f_code.co_filename.startswith(NOT_THE_USERS):
        for symbol in _above_zero(answer, meaning, numbers) - found.keys():
            found[symbol] = line_of(frame)


def _is_between(code: CodeType) -> bool:
    """Whether this only passes a question on to the tracer."""
    return code.co_name == "__torch_function__" or code.co_filename.startswith((*BETWEEN, __file__))


def _above_zero(
    answer: Any, meaning: Callable[..., Any], numbers: Sequence[Any]
) -> set[sympy.Symbol]:
    """Symbols at whose size of 0 the answer is another one."""
    given, *asked = (_expression(n) for n in (answer, *numbers))
    if None in (given, *asked):
        return set()
    symbols: set[sympy.Symbol] = set().union(*(e.free_symbols for e in asked))

    def differs(*empty: sympy.Symbol) -> bool:
        at = dict.fromkeys(empty, sympy.Integer(0))
        try:
            return bool(given.xreplace(at) != meaning(*(e.xreplace(at) for e in asked)))
        except (ArithmeticError, AssertionError):  # a division by this size: PyTorch raises too
            return False

    return {s for s in symbols if differs(s)} or (symbols if differs(*symbols) else set())


def _expression(number: Any) -> Any:
    """A number as sympy has it, None for what is none."""
    if isinstance(number, (SymInt, SymFloat, SymBool)):
        return number.node.expr
    return sympy.sympify(number) if isinstance(number, (bool, int, float)) else None
