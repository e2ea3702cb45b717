"""Whether the shapes that the tracer wrote down hold at other sizes than it saw.

An operator may give another shape beyond a guard (`x.tensor_split(3)` where the size divides
evenly), and the tracer writes down the one of the sizes that it saw. Here the program runs
beyond its guards, on tensors without data, and every shape is compared with what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from torchtract.capture.guards import Guard, environment_guards, other_side
from torchtract.capture.trace import silent_refusals
from torchtract.errors import CaptureError
from torchtract.lower.source import source_line
from torchtract.sizes import Assertion, allowed

__all__ = ["check_shapes"]

#: What asks about broadcasting and memory has the same few answers again and again.
_MOST_SIZES = 8


def check_shapes(
    program: ExportedProgram,
    traced: Mapping[str, int],
    symbols: Mapping[sympy.Symbol, str],
    assertions: Sequence[Assertion],
    same_program: Callable[[Mapping[str, int]], bool | None],
) -> None:
    """Run a program beyond each of its guards and compare all shapes with those written down.

    Sizes at which PyTorch refuses to run are left out, and so are those of 0.

    Args:
        program: with symbolic sizes.
        traced: the sizes that the tracer saw.
        symbols: the user's name of each symbol.
        assertions: what the user promises about them.
        same_program: as for `check_guards`; None where the module refuses these sizes.

    Raises:
        CaptureError: a shape is another one there.
    """
    for sizes in _sizes_beyond_guards(program, symbols, traced, assertions):
        run = _Run(program, {s: sizes[name] for s, name in symbols.items()})
        try:
            with silent_refusals(), FakeTensorMode():
                wrong = run.first_wrong()
        except Exception:  # noqa: BLE001  (whatever PyTorch refuses these sizes with)
            continue
        if wrong is not None and same_program(sizes) is not None:
            raise _has_another_shape(wrong, sizes)


def _sizes_beyond_guards(
    program: ExportedProgram,
    symbols: Mapping[sympy.Symbol, str],
    traced: Mapping[str, int],
    assertions: Sequence[Assertion],
) -> list[dict[str, int]]:
    """Sizes of all symbols, at each of which some guard does not hold."""
    found: dict[tuple[int, ...], dict[str, int]] = {}
    for guard in environment_guards(program):
        beyond = other_side(Guard(guard.expr, branch=False), symbols, assertions, False)
        sizes = {**traced, **(beyond or {})}
        if beyond is not None and allowed(sizes, assertions):
            found.setdefault(tuple(sizes.values()), sizes)
    return list(found.values())[:_MOST_SIZES]


class _Run:
    """One run at given sizes, on tensors without data."""

    def __init__(self, program: ExportedProgram, sizes: Mapping[sympy.Symbol, int]) -> None:
        self.program = program
        self.sizes = sizes
        self.values: dict[torch.fx.Node, Any] = {}

    def first_wrong(self) -> Any:
        """The first call that gives another shape than is written down."""
        kinds = {s.arg.name: s.kind for s in self.program.graph_signature.input_specs}
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node, kinds[node.name])
            elif node.op == "call_function" and node.meta.get("val") is not None:
                args = torch.fx.map_arg(node.args, lambda n: self.values[n])
                kwargs = torch.fx.map_arg(node.kwargs, lambda n: self.values[n])
                self.values[node] = node.target(*args, **kwargs)
                if not self._fits(node.meta["val"], self.values[node]):
                    return node
        return None

    def _placeholder(self, node: torch.fx.Node, kind: InputKind) -> Any:
        known = node.meta.get("val")
        if not isinstance(known, torch.Tensor):
            return known
        shape: list[Any] = [self._number(size) for size in known.shape]
        if kind == InputKind.USER_INPUT and None in shape:
            raise ValueError("a size that no symbol of the user's gives")
        return torch.empty(shape, dtype=known.dtype, device=known.device)

    def _fits(self, written: Any, actual: Any) -> bool:
        if isinstance(written, (tuple, list)):
            pairs = zip(written, actual, strict=False)
            return len(written) == len(actual) and all(self._fits(w, a) for w, a in pairs)
        if not isinstance(written, torch.Tensor):
            return True
        expected = [self._number(size) for size in written.shape]
        return len(expected) == actual.dim() and all(
            e in (None, a) for e, a in zip(expected, actual.shape, strict=True)
        )

    def _number(self, size: Any) -> int | None:
        """A size at this run's sizes, None if it depends on something else."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        value = size.node.expr.subs(self.sizes)
        return int(value) if value.is_number else None


def _has_another_shape(node: torch.fx.Node, sizes: Mapping[str, int]) -> CaptureError:
    line = source_line(node)
    at = ", ".join(f"{symbol}={n}" for symbol, n in sizes.items())
    return CaptureError(
        f"{line}: {node.target} can't be exported for every size, since at {at} PyTorch gives "
        "it another shape than the rule that holds at the example's sizes; rewrite it so that "
        "one rule serves all sizes, or exclude such sizes with custom_extensions, "
        "for example ['tract_assert S >= 2'].",
        source=line or None,
    )
