"""Rows of the tables: a module exported once and run at many sizes, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from harness import export
from torchtract.check.trial import arrays_of
from torchtract.errors import ExportError, RunError, SymbolError
from torchtract.runtime import Model, Runnable
from torchtract.sizes import Assertion, allowed, evaluate

__all__ = ["Input", "Row", "compare_at", "floats", "integers", "masks", "row"]

#: Sizes of the symbols: as traced, then 1, small ones, far above, and 0.
SIZES: dict[str, tuple[int, ...]] = {
    "B": (2, 1, 3, 1, 40, 3, 0, 2),
    "S": (5, 1, 8, 130, 2, 17, 3, 0),
    "T": (7, 1, 2, 67, 4, 11, 3, 0),
    "H": (6, 1, 3, 4, 40, 10, 2, 0),
    "E": (6, 2, 4, 64, 8, 0, 12, 2),  # even
    "W": (8, 1, 2, 64, 3, 11, 5, 0),
}
#: At how many sizes a row is compared at least.
ENOUGH = 4


@dataclass(frozen=True)
class Input:
    """An example input, at any sizes of its symbols.

    Attributes:
        shape: numbers, symbols (`"S"`), and sizes that follow from other symbols but have a
            symbol of their own (`"T=2*S"`).
        make: gives a tensor of a shape, from a seeded generator.
    """

    shape: tuple[int | str, ...]
    make: Callable[[tuple[int, ...], torch.Generator], torch.Tensor]

    @property
    def axes(self) -> dict[int, str]:
        """The symbol of each dynamic axis."""
        named = ((a, s.partition("=")[0]) for a, s in enumerate(self.shape) if isinstance(s, str))
        return {axis: symbol.strip() for axis, symbol in named}

    @property
    def free(self) -> list[str]:
        """Symbols that can have any size."""
        return [s for s in self.shape if isinstance(s, str) and "=" not in s]

    def at(self, sizes: Mapping[str, int], seed: int) -> torch.Tensor:
        """Values of its own for each size, so that no two of them look alike."""
        shape = tuple(
            evaluate(s.rpartition("=")[2].strip(), sizes) if isinstance(s, str) else s
            for s in self.shape
        )
        return self.make(shape, torch.Generator().manual_seed(seed))


def floats(
    *shape: int | str,
    dtype: torch.dtype = torch.float32,
    low: float = -3.0,
    high: float = 3.0,
) -> Input:
    """An input of numbers from low to high."""

    def make(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        numbers = torch.rand(shape, generator=generator, dtype=torch.float64)
        return (numbers * (high - low) + low).to(dtype)

    return Input(shape, make)


def integers(
    *shape: int | str, low: int = -9, high: int = 9, dtype: torch.dtype = torch.int64
) -> Input:
    """An input of whole numbers from low to high, both included."""

    def make(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.randint(low, high + 1, shape, generator=generator).to(dtype)

    return Input(shape, make)


def masks(*shape: int | str) -> Input:
    """An input of booleans, a third of them false."""

    def make(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.rand(shape, generator=generator) > 1 / 3

    return Input(shape, make)


@dataclass(frozen=True)
class Row:
    """A module, its dynamic inputs, and what becomes of it.

    Attributes:
        name: what it is about, in a few words.
        module: a module, or a function of tensors.
        inputs: its example inputs.
        refused: what the refusal says, for a module that can't be exported; else "".
        stops: sizes at which PyTorch gives a result and a run of the export is refused.
        assertions: what the user promises about sizes, `S >= 2`.
        rtol: relative tolerance of floating-point outputs.
        atol: absolute tolerance.
    """

    name: str
    module: Callable[..., Any]
    inputs: tuple[Input, ...]
    refused: str = ""
    stops: tuple[Mapping[str, int], ...] = ()
    assertions: tuple[str, ...] = ()
    rtol: float = 1e-4
    atol: float = 1e-5

    def __str__(self) -> str:
        return self.name

    def sizes(self) -> list[dict[str, int]]:
        """The sizes to run at, the traced ones first."""
        symbols = list(dict.fromkeys(s for i in self.inputs for s in i.free))
        columns = zip(*(SIZES[s] for s in symbols), strict=True)
        sizes = (dict(zip(symbols, c, strict=True)) for c in dict.fromkeys(columns))
        promised = [Assertion.parse(a) for a in self.assertions]
        return [s for s in sizes if allowed(s, promised)]

    def check(self) -> None:
        """Export it and compare with PyTorch at all sizes, or see the refusal."""
        if self.refused:
            with pytest.raises(ExportError) as caught:
                self.export()
            assert self.refused in str(caught.value)
            return
        runnable = self.export().compile()
        compared = [s for s in self.sizes() if self._check_at(runnable, s)]
        assert len(compared) >= ENOUGH, "PyTorch gives a result at too few sizes"

    def export(self) -> Model:
        """The exported model, traced at the first sizes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of PyTorch's, while it traces
            return self._export()

    def _export(self) -> Model:
        return export(
            self.module,
            *(i.at(self.sizes()[0], seed) for seed, i in enumerate(self.inputs)),
            dynamic_axes={f"x{n}": i.axes for n, i in enumerate(self.inputs) if i.axes},
            input_names=[f"x{n}" for n in range(len(self.inputs))],
            custom_extensions=[f"tract_assert {a}" for a in self.assertions],
        )

    def _check_at(self, runnable: Runnable, sizes: Mapping[str, int]) -> bool:
        """Whether both gave the same; False where PyTorch raises or a stop is expected."""
        args = [i.at(sizes, seed) for seed, i in enumerate(self.inputs, 100)]
        if any(stop.items() <= sizes.items() for stop in self.stops):
            with pytest.raises((RunError, SymbolError)):
                runnable(*args)
            return False
        return compare_at(self.module, runnable, args, rtol=self.rtol, atol=self.atol)


def compare_at(
    module: Callable[..., Any],
    runnable: Runnable,
    args: Sequence[torch.Tensor],
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> bool:
    """Compare values, types and shapes of all outputs.

    Returns:
        Whether PyTorch gives a result for these inputs.

    Raises:
        AssertionError: the export gives another one.
    """
    copies = [x.clone() for x in args]  # forward may write into its inputs
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of PyTorch's about such sizes
            expected = arrays_of(module(*copies))
    except (RuntimeError, IndexError, ValueError, ArithmeticError):
        return False
    named = {fact.name: x for fact, x in zip(runnable.inputs, args, strict=True)}
    actual = list(runnable.run(named).values())
    where = str([list(x.shape) for x in args])
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        if theirs.dtype.kind in "biu":
            np.testing.assert_array_equal(ours, theirs, err_msg=where)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=where)
    return True


def row(name: str, module: Callable[..., Any], *inputs: Input, **options: Any) -> Row:
    """A row of a table; see `Row` for the options."""
    return Row(name, module, inputs, **options)
