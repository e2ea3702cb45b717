"""The first operation of an exported model whose numbers are not PyTorch's."""

from __future__ import annotations

import dataclasses
import operator
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument

from torchtract.check.compare import compare, fact_text, tolerance_for
from torchtract.check.report import Divergence
from torchtract.check.trial import Trial, to_numpy
from torchtract.errors import EngineError
from torchtract.lower.source import file_line, module_path, origin
from torchtract.nnef import Graph, write_archive
from torchtract.passes.remove_unused import remove_unused
from torchtract.runtime import load

__all__ = ["Lowered", "locate"]

#: How many bytes of intermediate values are kept until tract computes them too.
_CHUNK = 2**28

#: What a call gives: its node, the identifiers in the graph, the value in PyTorch.
_Value: TypeAlias = "tuple[torch.fx.Node, tuple[str, ...], np.ndarray]"


@dataclass(frozen=True)
class Lowered:
    """A program beside the graph that was made of it.

    Attributes:
        program: with the operators that were lowered.
        graph: as it was written.
        tensors: for each call of the program, identifiers in the graph of the tensors it gives: one
            each, two for the parts of complex numbers.
        version: the oldest tract that must read the graph.
    """

    program: ExportedProgram
    graph: Graph
    tensors: Mapping[torch.fx.Node, tuple[tuple[str, ...], ...]]
    version: str


def locate(
    lowered: Lowered, trial: Trial, output: str | None, level: str, folder: Path
) -> Divergence:
    """Run the captured program and its graph call by call until they differ.

    Compared is what both have: a call whose tensor was folded into a later one is part of
    that one. PyTorch runs once and tract a few times, each time giving the values of some
    more calls, so that only a limited number of bytes is held.

    Args:
        lowered: the program and its graph.
        trial: a run in which an output differs, or in which tract failed.
        output: name of the output that differs, None where tract failed.
        level: one of tract's tolerance levels.
        folder: where there is room for a copy of the model.
    """
    search = _Search(lowered, trial, output, level, folder)
    with torch.no_grad():
        results = search.run(*_arguments(lowered.program, trial))
    search.compare_pending()
    if search.found is not None:
        return search.found
    if output is not None:
        captured = _outputs(lowered.program, results)[lowered.graph.outputs.index(output)]
        difference = _difference(to_numpy(captured), trial.expected[output], level, "captured")
        if difference is not None:
            return Divergence(
                "No operation differs: the program that torch.export captured gives other numbers "
                f"than the module itself ({difference}). Does the module draw random numbers, "
                "keep state between calls, or depend on what tracing can't see?"
            )
    last = f", down to the last, {_call(search.last)}" if search.last else ""
    return Divergence(
        "No operation differs on its own: where tract gives the value of every operation, they "
        f"are PyTorch's{last}. It {'fails' if output is None else 'differs'} only when operations "
        "are fused."
    )


class _Search(torch.fx.Interpreter):
    """Runs a program and compares the value of each call with tract's."""

    def __init__(
        self, lowered: Lowered, trial: Trial, output: str | None, level: str, folder: Path
    ) -> None:
        super().__init__(lowered.program.graph_module)
        self.found: Divergence | None = None
        self.last: torch.fx.Node | None = None
        self._lowered = lowered
        self._available = _tensors(
            _part(lowered.graph, [output] if output else lowered.graph.outputs)
        )
        self._failed = output is None
        self._inputs = trial.inputs
        self._level = level
        self._folder = folder
        self._pending: list[_Value] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        """Compute a node; its values are compared now or later."""
        result = super().run_node(n)
        if self.found is None and n.target is not operator.getitem and not _is_empty(n):
            values = result if isinstance(result, (tuple, list)) else [result]
            for names, value in zip(self._lowered.tensors.get(n, ()), values, strict=False):
                if self._available.issuperset(names) and value.dtype != torch.complex32:
                    self._pending.append((n, names, to_numpy(value)))
            if sum(value.nbytes for _, _, value in self._pending) >= _CHUNK:
                self.compare_pending()
        return result

    def compare_pending(self) -> None:
        """Compare what was computed since the last time, in the program's order."""
        pending, self._pending = self._pending, []
        self._compare(pending)

    def _compare(self, values: list[_Value]) -> None:
        """Compare values, or halves of them in turn where tract can't give all at once."""
        if self.found is not None or not values:
            return
        try:
            parts = self._by_tract(list(dict.fromkeys(n for _, names, _ in values for n in names)))
        except EngineError:
            half = len(values) // 2
            if half:
                self._compare(values[:half])
                self._compare(values[half:])
            elif self._failed:
                self._find(*values[0][:2], "that tract can't compute")
            return
        for node, names, expected in values:
            actual = _joined([parts[name] for name in names])
            difference = _difference(actual, expected, self._level)
            if difference is not None:
                self._find(node, names, "that differs", f": {difference}")
                return
            self.last = node

    def _find(self, node: torch.fx.Node, names: tuple[str, ...], what: str, how: str = "") -> None:
        text = f"The first operation {what} is {_call(node)}{how}."
        called = module_path(node), file_line(node)
        self.found = Divergence(text, str(node.target), *called, names[0])

    def _by_tract(self, names: list[str]) -> dict[str, np.ndarray]:
        """What tract computes for these tensors of the graph."""
        part = _part(self._lowered.graph, names)
        with tempfile.TemporaryDirectory(prefix=".torchtract-", dir=self._folder) as folder:
            path = Path(folder) / "part.nnef.tar"
            write_archive(part, path, version=self._lowered.version)
            runnable = load(path).compile()
        return runnable.run(self._inputs)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """An array, or the complex one of two parts."""
    if len(parts) == 1:
        return parts[0]
    pairs = np.stack(parts, axis=-1)
    return pairs.view(np.result_type(pairs, np.complex64))[..., 0]


def _part(graph: Graph, outputs: list[str]) -> Graph:
    """The part of a graph that gives these tensors."""
    part = dataclasses.replace(graph, outputs=outputs)
    remove_unused(part)
    return part


def _tensors(graph: Graph) -> set[str]:
    """Identifiers of all tensors of a graph."""
    return {name for op in graph.operations for name in op.outputs} | graph.variables.keys()


def _arguments(program: ExportedProgram, trial: Trial) -> list[Any]:
    """A value for each placeholder of the program: weights, constants and inputs."""
    inputs = iter(trial.inputs.values())
    arguments: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            tensors = program.constants if spec.target in program.constants else program.state_dict
            arguments.append(tensors.get(spec.target))
        elif isinstance(spec.arg, TensorArgument):
            arguments.append(next(inputs).detach())
        else:
            arguments.append(getattr(spec.arg, "value", None))
    return arguments


def _outputs(program: ExportedProgram, results: Any) -> list[torch.Tensor]:
    """The tensors among the user's outputs."""
    specs = program.graph_signature.output_specs
    return [
        result
        for spec, result in zip(specs, results, strict=True)
        if spec.kind == OutputKind.USER_OUTPUT and isinstance(result, torch.Tensor)
    ]


def _difference(
    actual: np.ndarray, expected: np.ndarray, level: str, ours: str = "tract"
) -> str | None:
    """How two arrays differ beyond a level, None where they don't."""
    if (actual.dtype, actual.shape) != (expected.dtype, expected.shape):
        return f"{ours} {fact_text(actual)}, PyTorch {fact_text(expected)}"
    result = compare(actual, expected, tolerance_for(level, expected.dtype))
    if result.ok:
        return None
    return f"{ours} {result.actual}, PyTorch {result.expected} at {list(result.index)}"


def _call(node: torch.fx.Node) -> str:
    """A call as its user knows it: operator, module, line."""
    called, module = origin(node), module_path(node)
    part = "" if called == str(node.target) else f" (part of {called})"
    where = f" in {module}" if module else ""
    return f"{node.target}{part}{where} ({file_line(node)})"


def _is_empty(node: torch.fx.Node) -> bool:
    """Whether a node gives memory that nobody has written to yet."""
    return "empty" in getattr(node.target, "_opname", "")
