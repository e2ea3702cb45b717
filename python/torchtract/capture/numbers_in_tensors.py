"""Numbers of sizes and of buffers that code computes with as tensors, kept as expressions.

`frames = torch.ceil((x.shape[-1] - self.kernel_size) / self.stride)`, with numbers in buffers of
rank 0, as in EnCodec: for torch.export each number that is read from such a tensor is a new
symbol, of which it can't say how it compares with others. Here what is known of a tensor's number
is noted beside the tensor, and reading it gives that.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy
import torch
from torch import SymBool, SymInt, Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

__all__ = ["EXACT_UP_TO", "NumbersInTensors"]

#: Up to here float32, with its 24 bits, tells quotients from whole numbers after the few roundings
#: that such code does, and int32 has room for products.
EXACT_UP_TO = 1 << 22

_WHOLE_TYPES = (torch.int64, torch.int32)


@dataclass(frozen=True)
class _Ratio:
    """A whole number, or a fraction that is going to be rounded."""

    numerator: int | SymInt
    denominator: int = 1

    def with_other(self, other: _Ratio, function: Callable[[Any, Any], Any]) -> Any:
        """What a function makes of both numerators over one denominator."""
        return function(self.numerator * other.denominator, other.numerator * self.denominator)

    def __add__(self, other: _Ratio) -> _Ratio:
        total = self.with_other(other, operator.add)
        return _Ratio(total, self.denominator * other.denominator)

    def __sub__(self, other: _Ratio) -> _Ratio:
        return self + -other

    def __neg__(self) -> _Ratio:
        return _Ratio(-self.numerator, self.denominator)

    def __mul__(self, other: _Ratio) -> _Ratio:
        return _Ratio(self.numerator * other.numerator, self.denominator * other.denominator)

    def __truediv__(self, other: _Ratio) -> _Ratio | None:
        divisor = other.numerator
        if not isinstance(divisor, int) or divisor <= 0:
            return None
        return _Ratio(self.numerator * other.denominator, self.denominator * divisor)

    def floor(self) -> _Ratio:
        return _Ratio(self.numerator // self.denominator)

    def ceil(self) -> _Ratio:
        return -(-self).floor()

    def trunc(self) -> _Ratio | None:
        number = self.numerator
        sign = number.node.expr.is_nonnegative if isinstance(number, SymInt) else number >= 0
        return self.floor() if sign or self.denominator == 1 else None


_Known: TypeAlias = "_Ratio | SymBool | bool"


def _divided(x: _Ratio, y: _Ratio, rounding_mode: str | None = None) -> _Ratio | None:
    result = x / y
    if result is None or rounding_mode is None:
        return result
    return result.floor() if rounding_mode == "floor" else result.trunc()


def _compared(relation: Callable[[Any, Any], Any]) -> Callable[[_Ratio, _Ratio], Any]:
    return lambda x, y: x.with_other(y, relation)


def _turned(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: rule(y, x)


def _chosen(choose: Callable[[Any, Any], Any]) -> Callable[[_Ratio, _Ratio], _Ratio]:
    return lambda x, y: _Ratio(x.with_other(y, choose), x.denominator * y.denominator)


def _quotient(x: _Ratio, y: _Ratio) -> _Ratio | None:
    return _divided(x, y, "floor")


_SAME = (
    *("tensor", "scalar_tensor", "as_tensor", "clone", "detach", "detach_", "float", "double"),
)

#: By the name of a function or method of PyTorch's, what becomes of the numbers.
_RULES: Mapping[str, Callable[..., _Known | None]] = {
    "add": operator.add,
    "sub": operator.sub,
    "__rsub__": _turned(operator.sub),
    "mul": operator.mul,
    "div": _divided,
    "true_divide": _divided,
    "__rdiv__": _turned(_divided),
    "floor_divide": _quotient,
    "__floordiv__": _quotient,
    "__rfloordiv__": _turned(_quotient),
    "maximum": _chosen(torch.sym_max),
    "minimum": _chosen(torch.sym_min),
    "neg": operator.neg,
    "floor": _Ratio.floor,
    "ceil": _Ratio.ceil,
    "trunc": _Ratio.trunc,
    "long": _Ratio.trunc,
    **dict.fromkeys(_SAME, lambda x: x),
    **{name: _compared(getattr(operator, name)) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
}

#: Functions that take numbers, and read them where they are given tensors.
_TAKE_NUMBERS = frozenset(
    (
        *("pad", "view", "reshape", "expand", "repeat", "unflatten", "split", "arange"),
        *("zeros", "ones", "empty", "full", "new_zeros", "new_ones", "new_empty", "new_full"),
        "__setitem__",
    )
)


def _whole(known: _Known) -> int | SymInt | None:
    return known.numerator if isinstance(known, _Ratio) and known.denominator == 1 else None


def _truth(known: _Known) -> bool | None:
    whole = _whole(known) if isinstance(known, _Ratio) else known
    return None if whole is None else bool(whole)


def _index(known: _Known) -> int | None:
    whole = _whole(known)
    return None if whole is None else operator.index(whole)  # Python takes no symbol


#: By the name of a method, what it reads.
_READS: Mapping[str, Callable[[_Known], Any]] = {
    "item": lambda known: _whole(known) if isinstance(known, _Ratio) else known,
    "__bool__": _truth,
    "__int__": _index,
    "__index__": _index,
}


@dataclass(frozen=True)
class _Note:
    """What is known of a tensor.

    Attributes:
        tensor: kept, so that its id stays its own.
        known: its number, or None.
        narrow: sizes in it that float32 or int32 held.
    """

    tensor: Tensor
    known: _Known | None
    narrow: tuple[sympy.Expr, ...] = ()


class NumbersInTensors(TorchFunctionMode):
    """Follows whole numbers through tensors of rank 0.

    Args:
        model: whose buffers are known, where they are whole numbers.
        narrow: gets the sizes in what is read that float32 or int32 held: at more than
            `EXACT_UP_TO` PyTorch may read another number.
    """

    def __init__(self, model: torch.nn.Module, narrow: list[sympy.Expr]) -> None:
        super().__init__()
        self._narrow = narrow
        self._model = model
        self._buffers = {
            name: int(buffer) for name, buffer in model.named_buffers() if _of_one_number(buffer)
        }
        self._notes: dict[int, _Note] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name in _READS and args:
            number = self._read(args[0], _READS[name])
            return func(*args, **kwargs) if number is None else number
        if name in _TAKE_NUMBERS:
            args, kwargs = pytree.tree_map(self._number, (tuple(args), kwargs))
        result = func(*args, **kwargs)
        if _writes_one_element(name, args):  # of which others may be views
            self._notes = {key: _Note(note.tensor, None) for key, note in self._notes.items()}
        elif isinstance(result, Tensor) and result.dim() == 0:
            self._notes[id(result)] = self._note(result, name, args, kwargs)
        return result

    def _read(self, tensor: Any, read: Callable[[_Known], Any]) -> Any:
        known = self._known(tensor)
        number = None if known is None else read(known)
        if number is not None:
            self._narrow.extend(self._notes[id(tensor)].narrow)
        return number

    def _number(self, leaf: Any) -> Any:
        """The number that a tensor is known to hold, in place of it."""
        number = self._read(leaf, _whole) if isinstance(leaf, Tensor) else None
        return leaf if number is None else number

    def _known(self, operand: Any) -> _Known | None:
        if isinstance(operand, (int, SymInt)) and not isinstance(operand, bool):
            return _Ratio(operand)
        if not isinstance(operand, Tensor) or operand.dim() != 0:
            return None
        if id(operand) not in self._notes and _of_one_number(operand):
            # Torch puts tensors of its own into the module while it traces, in each pass anew.
            for name, buffer in self._model.named_buffers():
                if name in self._buffers and id(buffer) not in self._notes:
                    self._notes[id(buffer)] = _Note(buffer, _Ratio(self._buffers[name]))
        note = self._notes.get(id(operand))
        return note.known if note else None

    def _note(
        self, result: Tensor, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> _Note:
        """What is to know of a call's result, which is of rank 0."""
        known = self._result(name, args, kwargs)
        notes = [self._notes[id(arg)] for arg in args if id(arg) in self._notes]
        narrow = [size for note in notes for size in note.narrow]
        if isinstance(known, _Ratio) and result.dtype != torch.int64:
            if result.dtype not in (torch.int32, torch.float32, torch.float64):
                return _Note(result, None)
            if isinstance(known.numerator, SymInt) and result.dtype != torch.float64:
                narrow.append(known.numerator.node.expr)
        return _Note(result, known, tuple(dict.fromkeys(narrow)))

    def _result(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Known | None:
        if name == "to":
            return self._converted(*args, **kwargs)
        if name not in _RULES or kwargs.keys() - {"rounding_mode", "dtype", "device"}:
            return None
        known = [self._known(arg) for arg in args]
        if not all(isinstance(number, _Ratio) for number in known):
            return None
        mode = {k: v for k, v in kwargs.items() if k == "rounding_mode"}
        return _RULES[name](*known, **mode)

    def _converted(self, tensor: Tensor, *args: Any, **kwargs: Any) -> _Known | None:
        known = self._known(tensor)
        types = {arg for arg in (*args, *kwargs.values()) if isinstance(arg, torch.dtype)}
        if not isinstance(known, _Ratio):
            return None
        return known.trunc() if types & {*_WHOLE_TYPES} else known


def _writes_one_element(name: str, args: Sequence[Any]) -> bool:
    writes = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
    if not writes or name in _SAME or not args or not isinstance(args[0], Tensor):
        return False
    shape: Sequence[Any] = args[0].shape
    return all(isinstance(n, int) and n == 1 for n in shape)


def _of_one_number(tensor: Tensor) -> bool:
    return tensor.dim() == 0 and tensor.dtype in _WHOLE_TYPES
