"""Dynamic axes as users give them: symbols by name, and torch's `Dim` objects with a range."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch.export import Dim
from torch.export.dynamic_shapes import _DerivedDim

from torchtract.errors import CaptureError, PulseError, SymbolError

__all__ = ["DynamicAxes", "check_pulse", "ranges_of", "resolve_axes"]

#: Per input name: symbol of each dynamic axis. Negative axes count from the end.
DynamicAxes: TypeAlias = Mapping[str, Mapping[int, "str | Dim"]]


def resolve_axes(
    tensors: Mapping[str, torch.Tensor], dynamic_axes: DynamicAxes
) -> dict[str, dict[int, str]]:
    """The symbol's name for each dynamic axis, with names and axes checked, axes made positive.

    Raises:
        CaptureError: there is no such input or axis, or no such symbol can be.
    """
    resolved: dict[str, dict[int, str]] = {}
    for name, axes in dynamic_axes.items():
        if name not in tensors:
            raise CaptureError(
                f"dynamic_axes={{{name!r}: ...}}: there is no input {name!r}; "
                f"the inputs are {', '.join(map(repr, tensors)) or 'none'}."
            )
        for axis, symbol in axes.items():
            where = f"dynamic_axes={{{name!r}: {{{axis}: {_text(symbol)}}}}}"
            positive = _positive(where, axis, name, tensors[name])
            if positive in resolved.setdefault(name, {}):
                raise CaptureError(
                    f"{where}: axis {positive} of {name!r} is given twice; give it one symbol."
                )
            resolved[name][positive] = _symbol(where, symbol)
    return resolved


def ranges_of(dynamic_axes: DynamicAxes) -> list[str]:
    """What the ranges of torch's `Dim` objects promise, as extension lines, each once.

    `Dim("S", min=2, max=100)` gives `tract_assert S >= 2` and `tract_assert S <= 100`. A lower
    bound of 0 is what every size has, and torch's own default: there is no line for it.
    """
    lines: list[str] = []
    for symbol in (symbol for axes in dynamic_axes.values() for symbol in axes.values()):
        if isinstance(symbol, Dim) and not isinstance(symbol, _DerivedDim):
            if symbol.min > 0:
                lines.append(f"tract_assert {symbol.__name__} >= {symbol.min}")
            if isinstance(symbol.max, int):
                lines.append(f"tract_assert {symbol.__name__} <= {symbol.max}")
    return list(dict.fromkeys(lines))


def check_pulse(where: str, pulse: object, dynamic_axes: DynamicAxes) -> None:
    """Refuse what is no pulse of a model with these axes.

    Args:
        where: what to call it in the error.
        pulse: the symbol that streams and its value for one pulse, `{"S": 8}`.
        dynamic_axes: of the model.

    Raises:
        PulseError: it is not one symbol with a whole number above zero.
        SymbolError: no axis has that symbol.
    """
    if not isinstance(pulse, Mapping) or len(pulse) != 1:
        raise PulseError(
            f"{where}: it is no pulse, since one symbol streams; give its name and its value for "
            "one pulse, such as {'S': 8}."
        )
    ((symbol, frames),) = pulse.items()
    if isinstance(frames, bool) or not hasattr(frames, "__index__"):
        raise PulseError(
            f"{where}: {frames!r} is no pulse, since a pulse has a fixed number of frames; "
            "give an int."
        )
    if operator.index(frames) < 1:
        raise PulseError(f"{where}: a pulse has at least one frame; give a number from 1 on.")
    axes = [symbol for axes in dynamic_axes.values() for symbol in axes.values()]
    names = list(dict.fromkeys(s.__name__ if isinstance(s, Dim) else s for s in axes))
    if symbol not in names:
        raise SymbolError(
            f"{where}: {symbol!r} can't stream, since no dynamic axis is called so; "
            f"name one of dynamic_axes ({', '.join(map(str, names)) or 'which has none'})."
        )


def _text(symbol: object) -> str:
    return symbol.__name__ if isinstance(symbol, Dim) else repr(symbol)


def _positive(where: str, axis: int, name: str, tensor: torch.Tensor) -> int:
    rank = tensor.dim()
    if not -rank <= axis < rank:
        raise CaptureError(
            f"{where}: axis {axis} is out of range, since {name!r} has shape "
            f"{list(tensor.shape)}; use an axis from {-rank} to {rank - 1}."
        )
    return axis % rank


def _symbol(where: str, symbol: object) -> str:
    if isinstance(symbol, _DerivedDim):
        raise CaptureError(
            f"{where}: {symbol.__name__} can't be the size of an axis, since it is derived from "
            f"{symbol.root.__name__} and an axis of an input has a symbol of its own; give it a "
            "name, or take this input's part from the other inside of the module."
        )
    name = symbol.__name__ if isinstance(symbol, Dim) else symbol
    if not isinstance(name, str):
        raise CaptureError(
            f"{where}: {symbol!r} can't be a symbol, since it has no name; give a name such as "
            "'S', or torch.export.Dim('S'), or leave the axis out if its size is fixed."
        )
    if not name.isidentifier():
        raise CaptureError(
            f"{where}: {name!r} can't be a symbol, since a symbol is a letter followed by "
            "letters, digits and underscores; rename it."
        )
    return name
