"""A PyTorch module and a tract model on the same inputs, at several sizes of each symbol."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from torchtract.check.compare import LEVELS, compare, tolerance_for
from torchtract.check.example import Example
from torchtract.check.report import IoReport, OutputRow
from torchtract.errors import ConstantReferenceWarning, MismatchError
from torchtract.runtime import Model, Runnable

__all__ = ["check_io"]


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
    values, cropped or tiled along the symbolic axes. Sizes that PyTorch itself refuses are
    left out, and reported as such.

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
    if tolerance not in LEVELS:
        raise ValueError(
            f"tolerance={tolerance!r}: there is no such level; use one of {', '.join(LEVELS)}."
        )
    example = Example(model, args, kwargs or {})
    check = _Check(module, model.compile(), tolerance)
    if sizes is not None:
        for wanted in sizes:
            check.run(dict(wanted), example)
    else:
        check.run(example.sizes, example)
        for wanted in example.other_sizes():
            check.run(wanted, example, optional=True)
    check.warn_if_constant()
    return IoReport(tuple(check.rows), tuple(check.refused), tolerance)


class _Check:
    """The runs of one check and what they gave."""

    def __init__(self, module: torch.nn.Module, runnable: Runnable, tolerance: str) -> None:
        self.module = module
        self.runnable = runnable
        self.tolerance = tolerance
        self.rows: list[OutputRow] = []
        self.refused: list[str] = []
        self._seen: dict[str, set[bytes]] = {}

    def run(self, sizes: dict[str, int], example: Example, optional: bool = False) -> None:
        """Compare all outputs at these sizes.

        Args:
            sizes: of every symbol.
            example: gives the inputs.
            optional: PyTorch may refuse these sizes.
        """
        inputs, args, kwargs = example.at(sizes)
        try:
            with torch.no_grad():
                expected = _tensors(self.module(*args, **kwargs))
        except (RuntimeError, ValueError, IndexError) as error:
            if not optional:
                raise
            self.refused.append(f"{_sizes_text(sizes)}: {str(error).splitlines()[0]}")
            return
        actual = self.runnable.run(
            {f.name: x for f, x in zip(self.runnable.inputs, inputs, strict=True)}
        )
        if len(actual) != len(expected):
            raise MismatchError(
                f"{_sizes_text(sizes)}: the model gives {len(actual)} outputs and PyTorch "
                f"{len(expected)}; check the module that was exported.",
                output="",
            )
        for (name, ours), theirs in zip(actual.items(), expected, strict=True):
            self._compare(name, np.asarray(ours), theirs, sizes)

    def _compare(
        self, name: str, actual: np.ndarray, expected: np.ndarray, sizes: dict[str, int]
    ) -> None:
        where = f"output {name!r} at {_sizes_text(sizes)}"
        if (actual.dtype, actual.shape) != (expected.dtype, expected.shape):
            raise MismatchError(
                f"{where}: tract gives {_fact_text(actual)} and PyTorch {_fact_text(expected)}; "
                "the exported graph does not compute what the module does.",
                output=name,
            )
        result = compare(actual, expected, tolerance_for(self.tolerance, expected.dtype))
        self._remember(name, expected)
        self.rows.append(OutputRow(name, sizes, expected.shape, str(expected.dtype), result))
        if not result.ok:
            raise MismatchError(
                f"{where}: tract and PyTorch differ beyond {self.tolerance!r} in "
                f"{result.outliers:.2%} of {expected.size} elements, worst at "
                f"{list(result.index)}: tract {result.actual}, PyTorch {result.expected} "
                f"(largest absolute difference {result.max_abs:.3g}, relative "
                f"{result.max_rel:.3g}); pass a looser level if these numbers are good enough.",
                output=name,
                max_abs=result.max_abs,
                max_rel=result.max_rel,
                index=result.index,
            )

    def _remember(self, name: str, expected: np.ndarray) -> None:
        """Up to two different element values of each output, as bytes."""
        seen = self._seen.setdefault(name, set())
        if len(seen) < 2 and expected.size:
            flat = np.ascontiguousarray(expected).reshape(-1)
            first = flat[:1]
            other = flat[~((flat == first) | ((flat != flat) & (first != first)))]
            seen.update(v.tobytes() for v in (first, other[:1]) if v.size)

    def warn_if_constant(self) -> None:
        """Warn about outputs whose reference is one number everywhere."""
        for name, values in self._seen.items():
            if len(values) == 1:
                warnings.warn(
                    f"check_io: output {name!r} has one and the same value everywhere in "
                    "PyTorch, so this check shows nothing about it; initialise the weights "
                    "(torchvision's ViT has a head of zeros) or pass other inputs.",
                    ConstantReferenceWarning,
                    stacklevel=3,
                )


def _tensors(outputs: Any) -> list[np.ndarray]:
    leaves = pytree.tree_leaves(outputs)
    return [_numpy(x) for x in leaves if isinstance(x, torch.Tensor)]


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.resolve_conj().resolve_neg().numpy()


def _sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{symbol}={n}" for symbol, n in sizes.items()) or "the example's sizes"


def _fact_text(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"
