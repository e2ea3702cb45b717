"""Compiled models: calling them, and measuring where the time goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from torchtract import _native
from torchtract.errors import RunError
from torchtract.runtime.fact import Fact, Node, describe
from torchtract.runtime.origin import Origin
from torchtract.runtime.pairs import Pairs, facts_of, names_of_pairs
from torchtract.runtime.profile import Profile
from torchtract.runtime.tables import Table

MODULES = "torchtract.modules"
"""Property of an exported file: paths of the PyTorch modules it was made from, by blanks."""


class Runnable:
    """A model compiled for this machine. Any number of threads may call it at once.

    Pickling one carries the archive that its model was loaded from; it is compiled again when
    it is unpickled.

    Attributes:
        inputs: facts of the inputs, in order.
        outputs: facts of the outputs, in order.
        threads: how many threads share the work of a call.
    """

    def __init__(self, native: _native.Runnable, origin: Origin, threads: int) -> None:
        self._native = native
        self._origin = origin
        self.threads = threads
        names = names_of_pairs(native)
        self.inputs: tuple[Fact, ...] = facts_of(native.inputs(), names)
        self.outputs: tuple[Fact, ...] = facts_of(native.outputs(), names)
        self._names = [fact.name for fact in self.inputs]
        self._pairs = Pairs(names, self.inputs, self.outputs) if names else None
        self._run = native.run if self._pairs is None else self._pairs.around(native.run)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs.

        Args:
            args: inputs in order: numpy arrays, torch tensors on any device, or what
                ``numpy.asarray`` takes, of the dtypes that `inputs` tells. bfloat16 is taken
                where float32 is expected.
            kwargs: inputs by name.

        Returns:
            One array where the model has one output, else a tuple of them, in order. They are the
            caller's own and can be written to.

        Raises:
            RunError: inputs are missing, unknown or too many, have another dtype, rank or size
                than expected, or disagree about a symbol; or tract fails.
            SymbolError: the inputs' sizes give a symbol a value that an assertion forbids.
        """
        if kwargs:
            args = self._in_order(args, kwargs)
        return self._run(args)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Computes the outputs from inputs by name, and gives them by name.

        Args:
            inputs: a value for each input; see `__call__` for what they can be and what is raised.
        """
        outputs = self._run(self._in_order((), inputs))
        if len(self.outputs) == 1:
            outputs = (outputs,)
        return {fact.name: array for fact, array in zip(self.outputs, outputs, strict=True)}

    def profile(
        self,
        /,
        *args: Any,
        warmup: int = 1,
        iterations: int = 1000,
        max_seconds: float = 2.0,
    ) -> Profile:
        """Measures where the time of a run goes, by tract's own profiler.

        Args:
            args: inputs in order, or one mapping of inputs by name. Without any, random ones are
                made: uniform in 0..1, integers 0 or 1.
            warmup: runs before the measured ones.
            iterations: the largest number of measured runs.
            max_seconds: the time after which no further run is started.

        Raises:
            SymbolError: there are no inputs, and symbols are free, so none can be made up.
            RunError: as for a call.
        """
        if len(args) == 1 and isinstance(args[0], Mapping):
            args = self._in_order((), args[0])
        if iterations < 1:
            raise ValueError(f"iterations={iterations}: at least one is needed")
        inputs = args if args or not self.inputs else None
        limits = warmup, iterations, max_seconds
        if self._pairs is None:
            nodes, entire, measured = self._native.profile(inputs, *limits)
        else:
            pairs = None if inputs is None else self._pairs.split(inputs)
            nodes, entire, measured = self._pairs.call(self._native.profile, pairs, *limits)
        modules = str(self._native.properties().get(MODULES, "")).split()
        return Profile(nodes, entire=entire, iterations=measured, modules=modules)

    def nodes(self) -> list[Node]:
        """The nodes of the compiled network, in an order in which they can be computed."""
        return [Node.of(*node) for node in self._native.nodes()]

    def _in_order(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """Joins inputs given by position and by name."""
        expected = self._names[len(args) :]
        if len(named) == len(expected) and all(name in named for name in expected):
            return (*args, *[named[name] for name in expected])
        takes = f"the model takes {', '.join(self._names)}"
        if unknown := [name for name in named if name not in expected]:
            why = "given twice" if unknown[0] in self._names else "unknown"
            raise RunError(f"input {unknown[0]}: {why}, {takes}")
        missing = next(name for name in expected if name not in named)
        raise RunError(f"input {missing}: missing, {takes}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._origin, self.threads)

    def _table(self) -> Table:
        title = f"Runnable, {self.threads} thread{'s' * (self.threads > 1)}"
        return describe(title, self.inputs, self.outputs)

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def _restore(origin: Origin, threads: int) -> Runnable:
    return Runnable(origin.load().compile(threads), origin, threads)
