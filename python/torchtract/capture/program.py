"""Module, example arguments and dynamic axes -> one exported program with symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy
import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from torchtract.capture.axes import DynamicAxes, ranges_of, resolve_axes
from torchtract.capture.empty_axes import recorded_questions
from torchtract.capture.example_sizes import example_sizes, traced_where_sizes_differ
from torchtract.capture.guards import Guard, recorded_guards
from torchtract.capture.numbers_in_tensors import EXACT_UP_TO
from torchtract.capture.script_module import module_of_script
from torchtract.capture.signature import (
    input_names_of,
    output_names_of,
    signature_of,
)
from torchtract.capture.symbolic_int import modules_of
from torchtract.capture.trace import Tracer
from torchtract.errors import CaptureError
from torchtract.pytrees import register_dataclasses
from torchtract.sizes import Assertion, allowed, assertions_of

__all__ = ["Capture", "DynamicAxes", "capture"]

#: What torch calls a question about a number that a tensor holds.
_DATA_DEPENDENT = "data-dependent expression"


@dataclass(frozen=True)
class Capture:
    """An exported program and the names by which the user knows its parts.

    Attributes:
        program: torch's exported program.
        inputs: names of the tensor inputs, in the order of the program's user inputs.
        outputs: names of the tensor outputs, in the order of the program's user outputs.
        symbols: the user's name of each symbol in the program's shapes.
        guards: what the tracer took for granted about sizes.
        tracer: traces the module again.
        sizes: the size of each symbol at which it was traced.
        above_zero: symbols of which the user says nothing and the module's code has another
            way at 0 that the program lacks; each with the user's line.
        exact_up_to: symbols whose sizes the module's code reads from float32 or int32, and the
            largest size up to which these hold them.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    symbols: Mapping[sympy.Symbol, str]
    guards: tuple[Guard, ...]
    tracer: Tracer
    sizes: Mapping[str, int]
    above_zero: Mapping[str, str]
    exact_up_to: Mapping[str, int]

    def at(self, sizes: Mapping[str, int]) -> Capture | None:
        """The same module traced at other sizes, or None where it refuses them.

        Raises:
            CaptureError: an axis became static at these sizes.
        """
        try:
            program = self.tracer.trace({**self.sizes, **sizes})
        except CaptureError:
            return None
        symbols = _symbols(program, self.inputs, self.tracer.axes, ())
        return replace(self, program=program, symbols=symbols)

    def moved(self, sizes: Mapping[str, int], assertions: Sequence[Assertion]) -> Capture:
        """The same module captured at other sizes, with what the tracer takes for granted there.

        Raises:
            CaptureError: the module can't be captured at these sizes.
        """
        moved = _traced(self.tracer, self.inputs, {**self.sizes, **sizes}, assertions)
        return replace(moved, outputs=self.outputs)


def capture(
    model: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: DynamicAxes | None = None,
    assertions: Iterable[Assertion] = (),
    whole_of: Callable[[torch.nn.Module], Mapping[torch.nn.Module, OpOverload]] = lambda _: {},
) -> Capture:
    """Trace a module with torch.export, non-strict, keeping the dynamic axes symbolic.

    Args:
        model: in evaluation mode, on the same device as its arguments.
        args: positional example arguments of its `forward`.
        kwargs: keyword example arguments.
        input_names: one for each tensor among the arguments; by default as in `forward`.
        output_names: one for each output tensor; by default the keys and fields of what
            `forward` returns. Other things than tensors in it are left out.
        dynamic_axes: which axes of which inputs are symbols.
        assertions: what the symbols' sizes obey.
        whole_of: gives the modules in a model that are not traced, and the operator that each
            call of one becomes.

    Raises:
        CaptureError: the module, its arguments or the dynamic axes don't allow it.
    """
    kwargs = dict(kwargs or {})
    _check_module(model)
    register_dataclasses((args, kwargs))
    signature = signature_of(model)
    leaves, structure = pytree.tree_flatten((tuple(args), kwargs))
    positions = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    names = input_names_of(signature, args, kwargs, input_names)
    tensors = {name: leaves[i] for name, i in zip(names, positions, strict=True)}
    _check_devices(model, tensors)
    _check_tensors(tensors)
    axes = resolve_axes(tensors, dynamic_axes or {})
    if isinstance(model, torch.jit.ScriptModule):
        model = module_of_script(model, args, kwargs, dynamic=any(axes.values()))
    promises = [*assertions, *assertions_of(ranges_of(dynamic_axes or {}))]
    sizes = example_sizes(tensors, axes, promises)
    inputs = dict(zip(names, positions, strict=True))
    may_be_empty, whole = _may_be_empty(sizes, promises), whole_of(model)
    tracer = Tracer(model, leaves, structure, inputs, axes, may_be_empty, whole)

    def trace(sizes: Mapping[str, int]) -> Capture:
        nonlocal tracer
        found = _traced(tracer, names, sizes, promises)
        tracer = found.tracer  # with what it learnt
        return found

    traced = traced_where_sizes_differ(trace, sizes, tensors, axes, promises)
    outputs = output_names_of(
        traced.program, output_names, taken=[*names, *traced.symbols.values()]
    )
    return replace(traced, outputs=outputs)


def _traced(
    tracer: Tracer,
    names: Sequence[str],
    sizes: Mapping[str, int],
    assertions: Sequence[Assertion],
) -> Capture:
    """The module traced at these sizes, its outputs without names.

    Where that fails or fixes a size, its `int()` and `float()` may keep symbols.
    """
    failure: CaptureError | None = None
    try:
        traced = _traced_as_it_is(tracer, names, sizes, assertions)
        fixing = [guard.line for guard in traced.guards if _makes_a_number(guard)]
        if not fixing:
            return traced
        line: str | None = fixing[0]
    except CaptureError as error:
        failure, line = error, error.source
    modules = tracer.symbolic_int | modules_of(tracer.model, line)
    if modules != tracer.symbolic_int:
        try:
            return _traced(replace(tracer, symbolic_int=modules), names, sizes, assertions)
        except CaptureError as error:
            if _DATA_DEPENDENT in str(failure) and _DATA_DEPENDENT in str(error):
                raise  # it came further
    if failure is not None:
        raise failure from failure.__cause__
    return traced


def _makes_a_number(guard: Guard) -> bool:
    """Whether Python code made a number of a size: `S / 2 == 12`."""
    condition = guard.condition
    return guard.branch and isinstance(condition, sympy.Eq) and condition.rhs.is_number


def _traced_as_it_is(
    tracer: Tracer,
    names: Sequence[str],
    sizes: Mapping[str, int],
    assertions: Sequence[Assertion],
) -> Capture:
    with recorded_guards() as guards_of, recorded_questions() as above_zero:
        program = tracer.trace(sizes)
    guards = tuple(guards_of(program))
    symbols = _symbols(program, names, tracer.axes, guards)
    lines = {symbols[s]: line for s, line in above_zero.items() if s in symbols}
    lines = {s: line for s, line in lines.items() if allowed({s: 0}, assertions)}
    exact = _exact_up_to([e for e in tracer.narrow if e.free_symbols <= symbols.keys()])
    exact_up_to = {symbols[symbol]: size for symbol, size in exact.items()}
    return Capture(program, tuple(names), (), symbols, guards, tracer, sizes, lines, exact_up_to)


def _exact_up_to(narrow: Sequence[sympy.Expr]) -> dict[sympy.Symbol, int]:
    """The largest size, a power of two, of the symbols in what is to be held."""
    found = {symbol for size in narrow for symbol in size.free_symbols}
    largest = EXACT_UP_TO
    for size in narrow:
        while abs(size.xreplace(dict.fromkeys(found, sympy.Integer(largest)))) > EXACT_UP_TO:
            largest //= 2
    return dict.fromkeys(found, largest)


def _check_module(model: torch.nn.Module) -> None:
    if not isinstance(model, torch.nn.Module):
        raise CaptureError(
            f"model={type(model).__name__}: can't be captured, since it is no torch.nn.Module; "
            "wrap the function in a module whose forward calls it."
        )
    training = [name or "the model itself" for name, m in model.named_modules() if m.training]
    if training:
        raise CaptureError(
            f"model={type(model).__name__}: can't be captured in training mode "
            f"({training[0]} is), since dropout and batch normalisation behave differently "
            "there; call model.eval() first."
        )


def _check_tensors(tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        kind = str(tensor.layout).removeprefix("torch.")
        kind = "nested" if tensor.is_nested else "quantized" if tensor.is_quantized else kind
        if kind != "strided":
            raise CaptureError(
                f"{name}: can't be an input, since it is a {kind} tensor and "
                "tract has dense ones only; pass it dense, with a mask where its rows differ in "
                "length."
            )


def _check_devices(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    named = [*model.named_parameters(), *model.named_buffers(), *tensors.items()]
    devices: dict[torch.device, str] = {}
    for name, tensor in named:
        devices.setdefault(tensor.device, name)
    if len(devices) > 1:
        listed = ", ".join(f"{name!r} is on {device}" for device, name in devices.items())
        raise CaptureError(
            f"model and arguments: can't be captured, since they are on different devices "
            f"({listed}); move them to one device, for example model.cpu()."
        )
    if torch.device("meta") in devices:
        raise CaptureError(
            "model and arguments: can't be captured on the meta device, since it holds no "
            "values to export; load the weights first, for example model.to_empty(device='cpu') "
            "and load_state_dict."
        )


def _may_be_empty(symbols: Iterable[str], assertions: list[Assertion]) -> bool:
    """Whether the user says that a symbol may be 0, and no less: `S >= 0`."""
    return any(
        allowed({symbol: 0}, assertions) and not allowed({symbol: -1}, assertions)
        for symbol in symbols
    )


def _symbols(
    program: ExportedProgram,
    names: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    guards: Sequence[Guard],
) -> dict[sympy.Symbol, str]:
    """The user's name of each of torch's symbols, read off the shapes of the inputs."""
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    tensors = [
        placeholders[spec.arg.name].meta["val"]
        for spec in program.graph_signature.input_specs
        if spec.kind == torch.export.graph_signature.InputKind.USER_INPUT
        and isinstance(spec.arg, torch.export.graph_signature.TensorArgument)
    ]
    symbols: dict[sympy.Symbol, str] = {}
    for name, tensor in zip(names, tensors, strict=True):
        for axis, symbol in axes.get(name, {}).items():
            size = tensor.shape[axis]
            expression = size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)
            if not isinstance(expression, sympy.Symbol):
                known = {s: sympy.Symbol(n) for s, n in symbols.items()}
                where = f"{{{name!r}: {{{axis}: {symbol!r}}}}}"
                raise _became_static(where, expression, expression.xreplace(known), guards)
            if symbols.setdefault(expression, symbol) != symbol:
                raise CaptureError(
                    f"dynamic_axes={{{name!r}: {{{axis}: {symbol!r}}}}}: {symbol} and "
                    f"{symbols[expression]} can't be two symbols, since the model needs them to "
                    "be equal; give both axes the same symbol."
                )
    return symbols


def _became_static(
    axis: str, value: sympy.Expr, told: sympy.Expr, guards: Sequence[Guard]
) -> CaptureError:
    """The refusal of an axis that the module's code fixed, with the line that did it."""
    fixing = [g.line for g in guards if g.line and _fixes(g.condition, value)]
    where = f"{fixing[-1]}: " if fixing else ""
    return CaptureError(
        f"{where}dynamic_axes={axis} can't stay symbolic, since this code needs the size to be "
        f"{told}; take sizes from x.shape instead of numbers and int(), give what has a fixed "
        "length (a table, a mask) the symbol's length, or leave the axis out of dynamic_axes.",
        source=fixing[-1] if fixing else None,
    )


def _fixes(condition: sympy.Basic, value: sympy.Expr) -> bool:
    """Whether a condition holds for this size alone: `S == 5`, `2*S + 1 == 11`."""
    symbols = condition.free_symbols
    if not isinstance(condition, sympy.Eq) or len(symbols) != 1:
        return isinstance(condition, sympy.Eq) and value in condition.args
    return bool(condition.subs(dict.fromkeys(symbols, value)) == sympy.true)
