"""Models and compiled models: what `torchtract.load` gives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from torchtract import _native
from torchtract.errors import RunError, SymbolError

_TRACT_NAMES = {"bool": "Bool", "float16": "F16", "float32": "F32", "float64": "F64"}
_TRACT_NAMES |= {f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)}
_TRACT_NAMES |= {f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)}


@dataclass(frozen=True)
class Fact:
    """What is known of an input or an output.

    Attributes:
        name: its name in the graph.
        dtype: numpy's name of the element type, such as ``"float32"``.
        shape: one entry per axis: an ``int``, or an expression over symbols as a ``str``, such as
            ``"B"`` or ``"(S+3)/4"``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __repr__(self) -> str:
        dtype = _TRACT_NAMES.get(self.dtype, self.dtype)
        return f"{self.name}: " + ",".join([*map(str, self.shape), dtype])


def load(source: str | os.PathLike[str] | bytes) -> Model:
    """Loads an NNEF model.

    Args:
        source: path of a ``.nnef.tgz``, a ``.nnef.tar`` or a folder, or an archive's bytes.

    Raises:
        LoadError: there is no such file, it is no archive or a damaged one, or its graph or
            weights are not what tract takes.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return Model(_native.Model.from_bytes(bytes(source)))
    return Model(_native.Model.from_path(os.fspath(source)))


class Model:
    """A loaded model. Immutable: `set` gives another one."""

    def __init__(self, native: _native.Model) -> None:
        self._native = native
        self.inputs = tuple(Fact(*fact) for fact in native.inputs())
        self.outputs = tuple(Fact(*fact) for fact in native.outputs())
        self.symbols = tuple(native.symbols())
        self.assertions = tuple(native.assertions())

    def set(self, **symbols: int | str) -> Model:
        """The same model with these symbols replaced by numbers (or by expressions).

        Raises:
            SymbolError: a symbol does not exist or is set already, a value is neither ``int`` nor
                ``str``, or an assertion of the model forbids it.
        """
        for name, value in symbols.items():
            if isinstance(value, bool) or not (isinstance(value, str) or hasattr(value, "__index__")):
                raise SymbolError(f"{name}={value!r}: a symbol's value is an int or an expression")
        return Model(self._native.set(symbols))

    def compile(self, *, threads: int = 1) -> Runnable:
        """Optimises the model for this processor.

        Args:
            threads: how many threads share the work of one matrix product.
        """
        return Runnable(self._native.compile(threads), self)

    def __repr__(self) -> str:
        return f"Model(inputs={list(self.inputs)}, outputs={list(self.outputs)})"


class Runnable:
    """A compiled model, which any number of threads may call at once."""

    def __init__(self, native: _native.Runnable, model: Model) -> None:
        self._call = native
        self.inputs = model.inputs
        self.outputs = model.outputs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Runs the model on arrays or torch tensors, by position or by name."""
        if kwargs:
            names = [fact.name for fact in self.inputs]
            for name in kwargs:
                if name not in names[len(args) :]:
                    raise RunError(f"no input {name!r}: there is {', '.join(names)}")
            missing = [name for name in names[len(args) :] if name not in kwargs]
            if missing:
                raise RunError(f"no value for input {', '.join(missing)}")
            args += tuple(kwargs[name] for name in names[len(args) :])
        return self._call(args)

    def run(self, inputs: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Runs the model on named inputs, gives named outputs."""
        outputs = self(**inputs)
        if len(self.outputs) == 1:
            outputs = (outputs,)
        return {fact.name: value for fact, value in zip(self.outputs, outputs, strict=True)}
