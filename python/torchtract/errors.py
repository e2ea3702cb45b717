"""Every exception that torchtract raises on purpose. Imports nothing of the package.

A message says, in this order: what the user wrote, what was refused, why, what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TorchTractError(Exception):
    """Base of all errors of this package."""


class ExportError(TorchTractError):
    """A PyTorch module could not be turned into an NNEF archive.

    Attributes:
        source: the user's code it is about, as ``file:line (module.path)``, where known.
    """

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message)
        self.source = source


class CaptureError(ExportError):
    """The module, its arguments or its dynamic axes could not be captured as one graph."""


class UnsupportedOpError(ExportError):
    """The program holds operators that have no lowering to NNEF.

    Attributes:
        refusals: one entry per refused operator and line of user code.
    """

    def __init__(
        self, message: str, *, refusals: tuple[str, ...] = (), source: str | None = None
    ) -> None:
        super().__init__(message, source=source)
        self.refusals = refusals


class LoweringError(ExportError):
    """A lowering failed, or a registered lowering does not fit its operator's schema."""


class FormatError(ExportError):
    """A graph can't be said in NNEF for the asked version of tract, or can't be written."""


class EngineError(TorchTractError):
    """Something that happened inside tract, or on the way to it."""


class LoadError(EngineError):
    """A file, folder or byte string is not a model that tract can load."""


class SymbolError(EngineError):
    """A symbol is unknown, free where a number is needed, or has a value that is not allowed."""


class PulseError(EngineError):
    """A model can't be turned into a streaming one."""


class RunError(EngineError):
    """Inputs don't fit the model, or tract failed while running it."""


class GenerationError(RunError):
    """A prompt, messages or options that a language model can't generate text from."""


class PoolError(RunError):
    """Some of the streams that were pushed to, or ended, at once refused or failed.

    Attributes:
        errors: of each such stream, which is as it was, its exception.
        outputs: what each of the others gave.
    """

    def __init__(
        self, message: str, errors: Mapping[Any, Exception], outputs: Mapping[Any, Any]
    ) -> None:
        super().__init__(message)
        self.errors = errors
        self.outputs = outputs

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a PoolError holds streams, which can't be pickled")


class MismatchError(EngineError):
    """tract and PyTorch gave different numbers, or a stream and the batch model.

    Attributes:
        output: name of the worst output.
        max_abs: largest absolute difference found in it, NaN if its type or shape differs.
        max_rel: largest relative difference found in it, NaN likewise.
        index: position of the worst element, () likewise.
        operation: the first call that differs, as its aten overload (`aten.gelu.default`),
            None where it was not looked for or not found.
        module: path of the PyTorch module it is in, "" for the model itself; else None.
        source: the user's `file:line`; else None.
        node: identifier of its tensor in the exported graph; else None. Of a stream, that of the
            first layer whose frames differ.
    """

    def __init__(
        self,
        message: str,
        *,
        output: str,
        max_abs: float = float("nan"),
        max_rel: float = float("nan"),
        index: tuple[int, ...] = (),
        operation: str | None = None,
        module: str | None = None,
        source: str | None = None,
        node: str | None = None,
    ) -> None:
        super().__init__(message)
        self.output = output
        self.max_abs = max_abs
        self.max_rel = max_rel
        self.index = index
        self.operation = operation
        self.module = module
        self.source = source
        self.node = node


class ConstantReferenceWarning(UserWarning):
    """A check compared with a reference that has one value everywhere, so it shows nothing."""


class UnequalStreamWarning(UserWarning):
    """A model was pulsed whose streams may give other numbers than it gives for all frames."""
