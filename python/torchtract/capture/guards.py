"""What the tracer took for granted about sizes, and whether the program is right without it.

While torch.export runs a module's Python code, every question about a size (`if S > 9`)
is answered for the example's size and noted as a guard. Beyond a guard PyTorch may run
other code, or refuse; an export that ignores it would be wrong there without a word.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import linecache
import math
import operator
import re
import textwrap
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import sympy
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.functions import Mod, PythonMod

from torchtract.errors import CaptureError
from torchtract.sizes import Assertion, allowed, bounds_of

__all__ = [
    "BETWEEN",
    "NOT_THE_USERS",
    "Guard",
    "OtherProgram",
    "check_guards",
    "environment_guards",
    "line_of",
    "other_side",
    "recorded_guards",
    "user_line",
]

_TORCH = str(Path(torch.__file__).parent)
_PACKAGE = str(Path(__file__).parents[1])
#: How the names of files begin that hold no code of the user's.
NOT_THE_USERS = (
    *(f"{_TORCH}/", f"{_PACKAGE}/", "<"),
    *(f"{Path(sympy.__file__).parent}/", contextlib.__file__),
)
# Where torch's tracer and the shape functions of its operators live. What they ask about
# sizes is about one operator, and a lowering serves an operator at every size.
_OPERATORS = tuple(
    f"{_TORCH}/{part}"
    for part in (
        *("_ops.py", "_refs/", "_prims/", "_prims_common/", "_decomp/", "_library/"),
        *("_meta_registrations.py", "_subclasses/", "_tensor.py", "_export/", "export/"),
    )
)
_SYMBOLS = f"{_TORCH}/__init__.py"
# What stands for Python's max() and min() while tracing.
_BUILTINS = f"{_TORCH}/_export/non_strict_utils.py"
#: What stands between code that asks about a size and the tracer.
BETWEEN = (_SYMBOLS, _BUILTINS, f"{_TORCH}/overrides.py")
_TRACER = (_SYMBOLS, f"{_TORCH}/fx/", f"{_TORCH}/utils/", __file__)


def _remainder(x: int, divisor: int) -> int:
    if x < 0:
        raise ArithmeticError  # torch's Mod is of no such numbers
    return x % divisor


# Torch's functions of sizes, as numbers.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "remainder": _remainder,
    "PythonMod": operator.mod,
    "IntTrueDiv": operator.truediv,
    "FloatTrueDiv": operator.truediv,
    "CeilToInt": math.ceil,
    "FloorToInt": math.floor,
    "TruncToInt": math.trunc,
    "ToFloat": float,
    "Min": min,
    "Max": max,
}


@dataclass(frozen=True)
class Guard:
    """A condition on sizes that held while tracing.

    Attributes:
        condition: over torch's symbols.
        line: the user's `file:line: code` that asked for it, "" where unknown.
        branch: whether Python code asked, and may have gone another way, or an operator.
    """

    condition: sympy.Basic
    line: str = ""
    branch: bool = True


class OtherProgram(CaptureError):
    """A module runs other code at some sizes.

    Attributes:
        condition: what does not hold there.
        sizes: some such.
    """

    def __init__(
        self, message: str, condition: sympy.Basic, sizes: Mapping[str, int], source: str | None
    ) -> None:
        super().__init__(message, source=source)
        self.condition = condition
        self.sizes = sizes


def user_line(stack: traceback.StackSummary) -> str:
    """`file:line: code` of the innermost frame outside of torch and this package."""
    for frame in reversed(stack):
        if not frame.filename.startswith(NOT_THE_USERS):
            return _line(frame.filename, frame.lineno, frame.line)
    return ""


def line_of(frame: FrameType) -> str:
    """`file:line: code` of a frame."""
    name = frame.f_code.co_filename
    return _line(name, frame.f_lineno, linecache.getline(name, frame.f_lineno))


def _line(name: str, number: int | None, code: str | None) -> str:
    return f"{name}:{number}: {textwrap.shorten(code or '', 80, placeholder=' ...')}"


@contextmanager
def recorded_guards() -> Iterator[Callable[[ExportedProgram], list[Guard]]]:
    """Record where guards come from; gives a function that lists a program's guards.

    Torch notes the innermost line only, which is mostly one of its own. The method that
    makes a location is private to torch: where it is missing, lines stay unknown.
    """
    origins: dict[int, tuple[Any, traceback.StackSummary]] = {}
    method = "_get_sloc"
    original = getattr(ShapeEnv, method, None)

    def located(env: ShapeEnv, *args: Any, **kwargs: Any) -> Any:
        location = original(env, *args, **kwargs)  # type: ignore[misc]
        # The location is kept beside its stack, so that its id stays its own.
        origins[id(location)] = (location, _stack())
        return location

    def guards(program: ExportedProgram) -> list[Guard]:
        found = (_guard(g, origins.get(id(g.sloc))) for g in environment_guards(program))
        return list({guard.condition: guard for guard in found}.values())

    if original is None:
        yield guards
        return
    setattr(ShapeEnv, method, located)
    try:
        yield guards
    finally:
        setattr(ShapeEnv, method, original)


def _stack() -> traceback.StackSummary:
    """The calls that led here. Lines are read when they are asked for: few are."""
    frames = traceback.walk_stack(inspect.currentframe())
    innermost_first = traceback.StackSummary.extract(frames, lookup_lines=False)
    return traceback.StackSummary.from_list(innermost_first[::-1])


def environment_guards(program: ExportedProgram) -> Sequence[Any]:
    """What torch wrote down as taken for granted while it traced a program."""
    values = (node.meta.get("val") for node in program.graph.nodes)
    environments = (v.fake_mode.shape_env for v in values if isinstance(v, FakeTensor))
    environment = next(environments, None)
    return environment.guards if environment is not None else ()


def _guard(guard: Any, origin: tuple[Any, traceback.StackSummary] | None) -> Guard:
    if origin is None:
        return Guard(guard.expr)
    return Guard(guard.expr, user_line(origin[1]), branch=_is_branch(origin[1]))


def _is_branch(stack: traceback.StackSummary) -> bool:
    """Whether Python code outside of operators made a condition on sizes a bool."""
    files = [f.filename for f in stack if not f.filename.startswith(_BUILTINS)]
    asking = max(i for i, file in enumerate(files) if not file.startswith(_TRACER))
    # Python code asks through SymBool's methods; C++ code, such as indexing, does not.
    by_python = files[asking + 1].startswith(_SYMBOLS) if asking + 1 < len(files) else True
    return by_python and not files[asking].startswith(_OPERATORS)


def check_guards(
    guards: Sequence[Guard],
    symbols: Mapping[sympy.Symbol, str],
    assertions: Sequence[Assertion],
    same_program: Callable[[Mapping[str, int]], bool | None],
    same_beyond: Callable[[sympy.Basic, Mapping[str, int]], bool],
) -> None:
    """Look at the other side of each branch that the assertions don't rule out.

    Args:
        guards: what was taken for granted.
        symbols: the user's name of each symbol.
        assertions: what the user takes for granted.
        same_program: whether the module exports to the same graph when it is traced at
            these sizes; None where it refuses them.
        same_beyond: whether both graphs, of which one was traced at these sizes, are the same
            wherever a condition does not hold.

    Raises:
        OtherProgram: other sizes give another graph.
    """
    for guard in guards:
        if not (guard.branch or _fixes_a_number(guard.condition)):
            continue
        # Where the module refuses the smallest of these sizes, the largest may tell.
        for from_above in (False, True):
            sizes = other_side(guard, symbols, assertions, from_above)
            same = True if sizes is None else same_program(sizes)
            if sizes is not None and same is False:
                if not same_beyond(guard.condition, sizes):
                    raise _depends_on_size(guard, symbols, sizes)
                break
            if same:
                break


def _fixes_a_number(condition: sympy.Basic) -> bool:
    """Whether an operator made a number of sizes: a window's, or that of its own outputs.

    Operators written in C++ take numbers where Python code gives sizes (`avg_pool1d(x, S // 2)`,
    `np.array(S / 2)`), and count their outputs (`x.split(2)`). Their other questions are about
    broadcasting and memory, or are followed by an error.
    """
    if isinstance(condition, sympy.Eq):
        return any(isinstance(side, sympy.Number) for side in condition.args)
    return isinstance(condition, (sympy.Gt, sympy.Ge)) and condition.has(Mod, PythonMod)


def other_side(
    guard: Guard,
    symbols: Mapping[sympy.Symbol, str],
    assertions: Sequence[Assertion],
    from_above: bool,
) -> dict[str, int] | None:
    """The smallest or largest sizes, of some near its numbers, at which a guard does not hold.

    They are among those that the assertions allow. Where none of these is, more are tried:
    `2*(S//2) >= S` fails at odd sizes alone, and `S//4 < 60` far from its numbers.
    """
    free = sorted(guard.condition.free_symbols, key=str)
    if not free or not set(free) <= symbols.keys():
        return None
    numbers = {int(n) for n in guard.condition.atoms(sympy.Integer)}
    near = {n + d for n in numbers | {2} for d in (-1, 0, 1)} | {3, 5, 8, 16, 64}
    smallest = 0 if guard.branch else 1  # operators take shortcuts where there are no elements
    holds = _predicate(guard.condition, free)
    few = [{n for n in near if n >= smallest}] * len(free)
    for candidates in (few, _runs([symbols[s] for s in free], smallest, assertions)):
        ordered = [sorted(sizes, reverse=from_above) for sizes in candidates]
        for values in itertools.product(*ordered):
            sizes = {symbols[s]: n for s, n in zip(free, values, strict=True)}
            if not holds(*values) and allowed(sizes, assertions):
                return sizes
    return None


def _runs(
    names: Sequence[str], smallest: int, assertions: Sequence[Assertion]
) -> list[Collection[int]]:
    """The first sizes that each symbol may have: some 4000 of all together."""
    bounds = bounds_of(assertions)
    lows = [max(smallest, *bounds.get(name, (0,))[:1]) for name in names]
    length = int(4096 ** (1 / len(names)))
    return [range(low, low + length) for low in lows]


def _predicate(condition: sympy.Basic, free: Sequence[sympy.Basic]) -> Callable[..., bool]:
    """Whether a condition holds at these sizes; where it can't be computed, it does."""
    # Printed by the name it has, it would lose its parentheses.
    named = condition.replace(Mod, sympy.Function("remainder"))
    compute = sympy.lambdify(free, named, [_FUNCTIONS, "math"])

    def holds(*sizes: int) -> bool:
        try:
            return bool(compute(*sizes))
        except ArithmeticError:
            return True
        except NameError:  # another of torch's functions
            return _holds(condition, dict(zip(free, sizes, strict=True)))

    return holds


def _holds(condition: sympy.Basic, sizes: Mapping[sympy.Basic, int]) -> bool:
    try:
        return bool(condition.subs(sizes))
    except (TypeError, ZeroDivisionError, AssertionError):  # the last of remainders below 0
        return True


def _depends_on_size(
    guard: Guard, symbols: Mapping[sympy.Symbol, str], sizes: Mapping[str, int]
) -> OtherProgram:
    named = _in_words(guard.condition, symbols)
    where = guard.line or "the model"
    at = ", ".join(f"{symbol}={n}" for symbol, n in sizes.items())
    asserted = named.replace("//", "/")  # as tract writes its division
    promise = ""
    if _is_assertion(asserted):
        promise = f", or promise the condition with custom_extensions=['tract_assert {asserted}']"
    return OtherProgram(
        f"{where}: can't be exported for every size, since it runs other code where "
        f"{named} does not hold (at {at}, for example); rewrite it so that one program serves "
        f"all sizes{promise}.",
        guard.condition,
        sizes,
        guard.line or None,
    )


def _is_assertion(text: str) -> bool:
    try:
        Assertion.parse(text)
    except CaptureError:
        return False
    return True


def _in_words(condition: sympy.Basic, symbols: Mapping[sympy.Symbol, str]) -> str:
    """A condition as Python says it: `S <= 9`, `S % 8 == 0`."""
    named = condition.xreplace({s: sympy.Symbol(n) for s, n in symbols.items()})
    relations = {sympy.Eq: "==", sympy.Ne: "!="}
    text = str(named)
    if type(named) in relations:
        text = f"{named.args[0]} {relations[type(named)]} {named.args[1]}"
    text = re.sub(r"\b(?:Python)?Mod\((\w+), (\d+)\)", r"\1 % \2", text)
    return re.sub(r"\((\(\w+//\d+\))\)", r"\1", text)  # torch's and sympy's parentheses
