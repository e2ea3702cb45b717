"""Which sizes the symbols of a model may take, and example inputs brought to those sizes."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchtract.errors import CaptureError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Assertion",
    "allowed",
    "assertions_of",
    "bounds_of",
    "evaluate",
    "resize",
    "scenarios_of",
]

_COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class Assertion:
    """A `tract_assert` line: a comparison that holds for every size the model is used at.

    Attributes:
        text: as the user wrote it, `S + P < 2048`; but tract knows no `%`.
        symbols: names of the symbols in it.
        scenario: name before the colon in `tg: S == 1`, or None. A scenario's assertion
            holds in that scenario only; tract runs a model at sizes of one of its scenarios.
    """

    text: str
    symbols: frozenset[str]
    scenario: str | None
    comparison: ast.Compare

    @classmethod
    def parse(cls, line: str) -> Assertion:
        """Read the part of a `tract_assert` line that follows the word.

        Raises:
            CaptureError: it is not a comparison of integer expressions over symbols.
        """
        scenario, _, text = line.rpartition(":")
        node = _comparison(text)
        if node is not None and "%" in text and not scenario:
            node = _Remainders().visit(node)
            text = ast.unparse(node)
        if node is None:
            raise CaptureError(
                f"tract_assert {line.strip()}: not an assertion, since it is no comparison "
                "(<, <=, ==, >=, >) of integer expressions over symbols; "
                "write it like `tract_assert S <= 32000`."
            )
        symbols = frozenset(_names(node) - {"min", "max"})
        assertion = cls(text.strip(), symbols, scenario.strip() or None, node)
        if isinstance(node.ops[0], ast.Eq) and isinstance(node.left, ast.Name):
            own = node.left.id
            if own in _names(node.comparators[0]) and not assertion.is_of_multiples:
                raise CaptureError(
                    f"tract_assert {line.strip()}: not taken, since tract would replace {own} by "
                    "an expression with itself in it without end; write it the other way around."
                )
        assertion.holds(dict.fromkeys(symbols, 1))  # refuses what can't be evaluated
        return assertion

    @property
    def is_of_multiples(self) -> bool:
        """Whether it compares a symbol with a division of it: `8 * (S / 8) == S`, `S % 8 == 0`.

        Such an assertion lets tract's optimiser run without end (0.23.9), so it is written as a
        property.
        """
        nodes = list(ast.walk(self.comparison))
        names = [n.id for n in nodes if isinstance(n, ast.Name) and n.id in self.symbols]
        divides = any(isinstance(n, (ast.Div, ast.FloorDiv)) for n in nodes)
        return self.scenario is None and divides and len(names) > len(set(names))

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it is true at these sizes. Symbols without a size make it true."""
        if not self.symbols <= sizes.keys():
            return True
        values = [
            _value(part, sizes) for part in (self.comparison.left, *self.comparison.comparators)
        ]
        pairs = zip(self.comparison.ops, values, values[1:], strict=False)
        return all(_COMPARE[type(compare)](a, b) for compare, a, b in pairs)


class _Remainders(ast.NodeTransformer):
    """Says `S % 8` as `S - 8 * (S / 8)`, and `S % 8 == 0` as `8 * (S / 8) == S`, as tract reads."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        match node:
            case ast.Compare(
                left=ast.BinOp(left=size, op=ast.Mod(), right=ast.Constant() as number),
                ops=[ast.Eq()],
                comparators=[ast.Constant(value=0)],
            ):
                whole = ast.BinOp(number, ast.Mult(), ast.BinOp(size, ast.Div(), number))
                node = ast.Compare(whole, node.ops, [size])
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not (isinstance(node.op, ast.Mod) and isinstance(node.right, ast.Constant)):
            return node
        quotient = ast.BinOp(node.left, ast.Div(), node.right)
        return ast.BinOp(node.left, ast.Sub(), ast.BinOp(node.right, ast.Mult(), quotient))


def _comparison(text: str) -> ast.Compare | None:
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None
    known = isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE
    return node if known and isinstance(node, ast.Compare) else None


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, sizes)
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=arguments):
            values = [_value(argument, sizes) for argument in arguments]
            return min(values) if name == "min" else max(values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return int(_ARITHMETIC[type(op)](_value(left, sizes), _value(right, sizes)))
    raise CaptureError(
        f"{ast.unparse(node)}: this part of a size can't be read, since only integers, symbols, "
        "+, -, *, /, min and max are known; write it with these."
    )


def allowed(sizes: Mapping[str, int], assertions: Iterable[Assertion]) -> bool:
    """Whether the model may run at these sizes: its assertions hold, and those of a scenario."""
    given = list(assertions)
    if not all(a.holds(sizes) for a in given if a.scenario is None):
        return False
    scenarios = scenarios_of(given).values()
    return not scenarios or any(all(a.holds(sizes) for a in each) for each in scenarios)


def scenarios_of(assertions: Iterable[Assertion]) -> dict[str, list[Assertion]]:
    """What is asserted in each scenario (`tg: S == 1`), by its name."""
    scenarios: dict[str, list[Assertion]] = {}
    for assertion in assertions:
        if assertion.scenario is not None:
            scenarios.setdefault(assertion.scenario, []).append(assertion)
    return scenarios


def bounds_of(assertions: Iterable[Assertion]) -> dict[str, tuple[int, int | None]]:
    """The least and the greatest size of what is compared with a number.

    That is of a symbol (`S <= 64`) or a sum of some (`S+P < 97`), by that text without spaces.
    """
    bounds: dict[str, tuple[int, int | None]] = {}
    for assertion in assertions:
        match assertion.comparison:
            case ast.Compare(
                left=left, ops=[op], comparators=[ast.Constant(value=int(number))]
            ) if assertion.scenario is None and _is_sum(left):
                name = ast.unparse(left).replace(" ", "")
                low, high = bounds.get(name, (0, None))
                if isinstance(op, (ast.Lt, ast.LtE, ast.Eq)):
                    most = number - isinstance(op, ast.Lt)
                    high = most if high is None else min(high, most)
                if isinstance(op, (ast.Gt, ast.GtE, ast.Eq)):
                    low = max(low, number + isinstance(op, ast.Gt))
                bounds[name] = low, high
    return bounds


def _is_sum(node: ast.expr) -> bool:
    """Whether it is a symbol, or several added."""
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_sum(left) and _is_sum(right)
    return isinstance(node, ast.Name)


def evaluate(expression: str, sizes: Mapping[str, int]) -> int:
    """A dimension in tract's syntax (`-3+(S+3)/4`) at these sizes. Division rounds down."""
    return _value(ast.parse(expression, mode="eval").body, sizes)


def assertions_of(extensions: Iterable[str]) -> list[Assertion]:
    """The assertions among extension lines (`tract_assert S >= 1`); other lines are skipped."""
    prefix = "tract_assert "
    return [Assertion.parse(e[len(prefix) :]) for e in extensions if e.startswith(prefix)]


def resize(tensor: torch.Tensor, sizes: Mapping[int, int]) -> torch.Tensor:
    """The tensor cropped, or tiled and cropped, to other sizes along some axes.

    Its own values are used, so that token ids stay ids and masks stay masks.

    Args:
        tensor: any shape and dtype.
        sizes: new size of each axis that changes.

    Raises:
        CaptureError: an axis that is to grow is empty, so there is nothing to repeat.
    """
    for axis, size in sizes.items():
        old = tensor.shape[axis]
        if size > old:
            if old == 0:
                raise CaptureError(
                    f"example input of shape {list(tensor.shape)}: axis {axis} has size 0 and "
                    f"can't be brought to size {size}, since there are no values to repeat; "
                    "pass an example with at least one element on that axis."
                )
            repeats = [1] * tensor.dim()
            repeats[axis] = -(-size // old)
            tensor = tensor.repeat(repeats)
        tensor = tensor.narrow(axis, 0, size)
    # A view keeps the strides of the old size, which the tracer would take for a constant.
    return tensor.contiguous()
