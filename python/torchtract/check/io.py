"""A PyTorch module and a tract model on the same inputs, at several sizes of each symbol."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch

from torchtract.check.compare import LEVELS, Comparison, compare, fact_text, tolerance_for
from torchtract.check.example import Example
from torchtract.check.report import Divergence, IoReport, OutputRow
from torchtract.check.trial import Trial
from torchtract.errors import CaptureError, ConstantReferenceWarning, MismatchError
from torchtract.runtime import Model, Runnable

__all__ = ["IoCheck", "check_io"]

#: What a module raises for sizes that aren't its own.
_REFUSALS = (RuntimeError, ValueError, IndexError, ArithmeticError, AssertionError)


def check_io(
    module: torch.nn.Module,
    model: Model,
    args: Sequence[Any] | torch.Tensor,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tolerance: str = "approximate",
    sizes: Iterable[Mapping[str, int]] | None = None,
) -> IoReport:
    """Run a module and its exported model on the same inputs and compare all outputs.

    Each symbol is tried at the example's size, at the smallest that the assertions allow
    (1 where they say nothing) and at others. Inputs at other sizes are the example's
    values, cropped or tiled along the symbolic axes. An input of integers whose greatest is
    a symbol's size, such as the lengths of padded rows, is brought to the other size too,
    where PyTorch takes that. Sizes that PyTorch refuses are left out, and reported as such.

    Which operation differs first is known to the check that `export_model_to_nnef` makes,
    since it has the program that the model was made from.

    Args:
        module: in evaluation mode.
        model: what was exported from it.
        args: example arguments of the module; one tensor stands for a tuple of one.
        kwargs: example keyword arguments.
        tolerance: one of tract's levels (`exact`, `close`, `approximate`, `very`, `super`,
            `ultra`). Integers and booleans are always compared exactly.
        sizes: the sizes to try instead, each a size for every symbol: `[{"B": 4}]`.

    Returns:
        A row for each output at each size.

    Raises:
        MismatchError: an output differs in type, shape or values.
        RunError: the arguments don't fit, or tract fails at a size at which PyTorch runs.
        ValueError: there is no such tolerance level.
    """
    return IoCheck(module, tolerance).run(model, args, kwargs or {}, sizes)


class IoCheck:
    """The runs of one check and what they gave, also where it ended early.

    Attributes:
        trial: the latest run, None before the first.
        report: of all runs.

    Args:
        module: in evaluation mode.
        tolerance: one of tract's levels.
        locate: finds the first operation that differs, given a run and the output in which
            it shows.

    Raises:
        ValueError: there is no such tolerance level.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        tolerance: str,
        locate: Callable[[Trial, str | None], Divergence] | None = None,
    ) -> None:
        if tolerance not in LEVELS:
            raise ValueError(
                f"tolerance={tolerance!r}: there is no such level; use one of {', '.join(LEVELS)}."
            )
        self.report = IoReport((), (), tolerance)
        self.trial: Trial | None = None
        self._module = module
        self._locate = locate
        self._seen: dict[str, set[tuple[str, bytes]]] = {}

    def run(
        self,
        model: Model,
        args: Sequence[Any] | torch.Tensor,
        kwargs: Mapping[str, Any],
        sizes: Iterable[Mapping[str, int]] | None = None,
        further: Iterable[Mapping[str, int]] = (),
    ) -> IoReport:
        """Compare all outputs at all sizes; see `check_io` for arguments and errors.

        `further` are sizes to try beside those that would be.
        """
        example = Example(model, args, kwargs)
        runnable = model.compile()
        if sizes is not None:
            for wanted in sizes:
                self._compare_at(dict(wanted), example, runnable)
        else:
            others = list(example.other_sizes())
            if example.allowed or not others:
                self._compare_at(example.sizes, example, runnable)
            for wanted in others:
                self._compare_at(wanted, example, runnable, optional=True)
        for wanted in further:
            self._compare_further(dict(wanted), example, runnable)
        self._warn_if_constant()
        return self.report

    def _compare_further(self, sizes: dict[str, int], example: Example, runnable: Runnable) -> None:
        try:
            self._compare_at(sizes, example, runnable)
        except _REFUSALS as error:
            raise CaptureError(
                f"{_sizes_text(sizes)}: the module itself fails there: {error}; assert sizes at "
                "which it runs, or check others."
            ) from error

    def _compare_at(
        self, sizes: dict[str, int], example: Example, runnable: Runnable, optional: bool = False
    ) -> None:
        """Compare all outputs at these sizes, which PyTorch may refuse if they are optional."""
        inputs, outputs = ([f.name for f in facts] for facts in (runnable.inputs, runnable.outputs))
        try:
            trial = self._trial(example, sizes, inputs, outputs)
        except _REFUSALS as error:
            if not optional:
                raise
            line = f"{_sizes_text(sizes)}: {str(error).partition(chr(10))[0]}"
            self._note(refused=(*self.report.refused, line))
            return
        self.trial = trial  # what there is of it, should tract fail
        self.trial = dataclasses.replace(trial, actual=runnable.run(trial.inputs))
        if len(outputs) != len(trial.expected):
            raise MismatchError(
                f"{_sizes_text(sizes)}: the model gives {len(outputs)} outputs and PyTorch "
                f"{len(trial.expected)}; check the module that was exported.",
                output="",
            )
        for name in outputs:
            self._compare(name, self.trial)

    def _trial(
        self, example: Example, sizes: dict[str, int], inputs: list[str], outputs: list[str]
    ) -> Trial:
        """PyTorch's part, with lengths among the inputs as the sizes need them."""
        adapted = example.with_lengths(sizes)
        if adapted is not None:
            with contextlib.suppress(*_REFUSALS):
                return Trial.of(self._module, *adapted, inputs, outputs, sizes)
        return Trial.of(self._module, *example.at(sizes), inputs, outputs, sizes)

    def _compare(self, name: str, trial: Trial) -> None:
        actual, expected = np.asarray(trial.actual[name]), trial.expected[name]
        if (actual.dtype, actual.shape) != (expected.dtype, expected.shape):
            self._refuse(
                name,
                trial,
                f"tract gives {fact_text(actual)} and PyTorch {fact_text(expected)}; "
                "the exported graph does not compute what the module does.",
            )
        level = self.report.tolerance
        result = compare(actual, expected, tolerance_for(level, expected.dtype))
        self._remember(name, expected)
        row = OutputRow(name, trial.sizes, expected.shape, str(expected.dtype), result)
        self._note(rows=(*self.report.rows, row))
        if not result.ok:
            self._refuse(
                name,
                trial,
                f"tract and PyTorch differ beyond {level!r} in "
                f"{result.outliers:.2%} of {expected.size} elements, worst at "
                f"{list(result.index)}: tract {result.actual}, PyTorch {result.expected} "
                f"(largest absolute difference {result.max_abs:.3g}, relative "
                f"{result.max_rel:.3g}); pass a looser level if these numbers are good enough.",
                result,
            )

    def _refuse(
        self, name: str, trial: Trial, how: str, result: Comparison | None = None
    ) -> NoReturn:
        """Raise what is known about an output that differs, and where that begins."""
        message = f"output {name!r} at {_sizes_text(trial.sizes)}: {how}"
        place: dict[str, Any] = {}
        if self._locate is not None:
            found = self._locate(trial, name)
            self._note(divergence=found)
            message += f"\n{found}"
            place = {key: getattr(found, key) for key in ("operation", "module", "source", "node")}
        if result is not None:
            place |= {key: getattr(result, key) for key in ("max_abs", "max_rel", "index")}
        raise MismatchError(message, output=name, **place)

    def _note(self, **changes: Any) -> None:
        self.report = dataclasses.replace(self.report, **changes)

    def _remember(self, name: str, expected: np.ndarray) -> None:
        """Up to two different element values of each output, as bytes."""
        seen = self._seen.setdefault(name, set())
        if len(seen) < 2 and expected.size:
            flat = np.ascontiguousarray(expected).reshape(-1)
            first = flat[:1]
            other = flat[~((flat == first) | ((flat != flat) & (first != first)))]
            seen.update((v.dtype.str, v.tobytes()) for v in (first, other[:1]) if v.size)

    def _warn_if_constant(self) -> None:
        """Warn about outputs whose reference is one number everywhere."""
        for name, values in self._seen.items():
            if len(values) == 1:
                dtype, value = next(iter(values))
                number = np.frombuffer(value, dtype)[0]
                warnings.warn(
                    f"check_io: output {name!r} has one and the same value everywhere in "
                    f"PyTorch, {number}, so this check shows nothing about it; initialise the "
                    "weights (torchvision's ViT has a head of zeros) or pass other inputs.",
                    ConstantReferenceWarning,
                    stacklevel=4,
                )


def _sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{symbol}={n}" for symbol, n in sizes.items()) or "the example's sizes"
