"""The walk over an exported program: every node lowered, every refusal collected."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sympy
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.utils._sympy.symbol import SymT, symbol_is_type

from torchtract.errors import CaptureError
from torchtract.lower.builder import Builder
from torchtract.lower.checks import Refusal, require
from torchtract.lower.counts import settle_counts
from torchtract.lower.dtypes import datum_type
from torchtract.lower.granted import Granted, taken_for_granted
from torchtract.lower.known_numbers import number_in, reads_a_number
from torchtract.lower.pairs import fact_of_pairs, from_pairs, to_pairs
from torchtract.lower.refused_calls import all_refused, failed, why_none
from torchtract.lower.registry import lowering_of
from torchtract.lower.results import why_wrong
from torchtract.lower.simplify import bounds_over, within
from torchtract.lower.source import module_path, op_name, origin, source_line
from torchtract.lower.storage import fills_memory
from torchtract.lower.value import Fact, Value, fact_of, size_of
from torchtract.nnef import Graph, Names, check_identifier, identifier, schema

__all__ = ["lower"]

#: Stands for what a refused call would give.
_REFUSED = "refused"


def lower(
    program: ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str] | None,
    symbols: Mapping[sympy.Symbol, str],
    version: str = schema.EMBEDDED,
    *,
    random: bool = False,
    bounds: Mapping[str, tuple[int, int | None]] | None = None,
    multiples: Mapping[sympy.Expr, sympy.Expr] | None = None,
    weights: Mapping[str, Callable[[], np.ndarray]] | None = None,
) -> tuple[Graph, dict[torch.fx.Node, tuple[tuple[str, ...], ...]]]:
    """The NNEF graph of an exported program, and where in it each call of the program is.

    Args:
        program: with functional operators only.
        inputs: a name for each tensor among its user inputs.
        outputs: a name for each output, by default `output` or `output_0`, `output_1` ...
        symbols: the user's name of each symbol in its shapes.
        version: the oldest tract that must read the graph.
        random: whether random operators draw from tract's generator, or are refused.
        bounds: by the names of symbols and sums (`S+P`), the least and the greatest size of each.
        multiples: how to say sizes of which is known what remainder they leave: S as
            `8 * (S // 8)`; the graph refuses other sizes of a symbol.
        weights: by name in the `state_dict`, what gives the values of a weight when they are
            written, where the program holds others.

    Returns:
        The graph, and for each call the identifiers of the tensors that it gives: one each, two
        for the parts of complex numbers, "" for a number that is written into the text.

    Raises:
        UnsupportedOpError: it holds calls that can't be said in NNEF; all of them are listed.
        LoweringError: a lowering failed.
        CaptureError: the program changes its buffers, or the names don't fit its outputs.
        FormatError: a name is no NNEF identifier.
    """
    of_sizes = bounds or {}, multiples or {}
    walk = _Walk(program, inputs, outputs, symbols, version, random, *of_sizes, weights or {})
    return walk.run(), walk.tensors()


class _Walk:
    def __init__(
        self,
        program: ExportedProgram,
        inputs: Sequence[str],
        outputs: Sequence[str] | None,
        symbols: Mapping[sympy.Symbol, str],
        version: str,
        random: bool,
        bounds: Mapping[str, tuple[int, int | None]],
        multiples: Mapping[sympy.Expr, sympy.Expr],
        weights: Mapping[str, Callable[[], np.ndarray]],
    ) -> None:
        self.program = program
        self.inputs = inputs
        self.outputs = outputs
        self.weights = weights
        self.symbols = symbols
        named: dict[str, sympy.Symbol] = {}
        # The tracer has a symbol for each input; those that have one name are one size.
        self.twins: dict[sympy.Symbol, sympy.Expr] = {
            s: named.setdefault(name, s) for s, name in symbols.items()
        }
        self.bounds = bounds_over(bounds, named)
        self.multiples = {
            size.xreplace(self.twins): said.xreplace(self.twins) for size, said in multiples.items()
        }
        self.graph = Graph(symbols=sorted(set(symbols.values())))
        self.names = Names(reserved=self.graph.symbols)
        known = self.bounds, self.multiples.keys()
        self.builder = Builder(self.graph, self.names, symbols, version, *known, random=random)
        self.granted = Granted(self.builder)
        self.sizes: dict[sympy.Symbol, int] = {}  # at which the program was traced
        self.values: dict[torch.fx.Node, Any] = {}
        self.refusals: dict[tuple[str, str], str] = {}
        self.renamed: dict[str, str] = {}
        self.complex: list[str] = []  # inputs and outputs that are pairs in the graph

    def run(self) -> Graph:
        user_inputs = iter(self.inputs)
        specs = {s.arg.name: s for s in self.program.graph_signature.input_specs}
        for name in (*self.inputs, *(self.outputs or ())):
            check_identifier(name)
            self.names.reserve(name)
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(specs[node.name], node, user_inputs)
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "get_attr":
                self.values[node] = None  # a graph that torch.cond or the like may run
            elif node.op == "output":
                self._finish(node)
        for count in settle_counts(self.graph, self.builder.counts):
            self.refusals["an output", count] = (
                "its size depends on how many elements are picked, and not on which; "
                "return something of these elements too"
            )
        self._raise_refusals()
        return self.graph

    def tensors(self) -> dict[torch.fx.Node, tuple[tuple[str, ...], ...]]:
        """Identifiers in the finished graph of what each call gives, sizes left out."""
        given = {
            node: value if isinstance(value, (tuple, list)) else (value,)
            for node, value in self.values.items()
            if node.op == "call_function"
        }
        return {
            node: tuple(self._identifiers(value) for value in values)
            for node, values in given.items()
            if all(isinstance(value, Value) for value in values)
        }

    def _identifiers(self, value: Value) -> tuple[str, ...]:
        parts = (value,) if value.imag is None else (value, value.imag)
        return tuple(self.renamed.get(part.name, part.name) for part in parts)

    def _placeholder(self, spec: Any, node: torch.fx.Node, user_inputs: Iterator[str]) -> Any:
        if spec.kind == InputKind.USER_INPUT:
            if not isinstance(spec.arg, TensorArgument):
                return getattr(spec.arg, "value", None)
            for size in node.meta["val"].shape:
                if isinstance(size, torch.SymInt) and isinstance(size.node.expr, sympy.Symbol):
                    self.sizes[size.node.expr] = int(size.node.hint)
            return self._input(next(user_inputs), self._fact(node.meta["val"]))
        if spec.kind == InputKind.TOKEN:
            return None  # orders side effects, of which NNEF has none
        label = spec.target
        constants = self.program.constants
        tensor = constants[label] if label in constants else self.program.state_dict[label]
        if not isinstance(tensor, torch.Tensor):
            return tensor  # an object that only calls without a lowering take, such as a Generator
        try:
            return self.builder.constant(tensor, label, self.weights.get(label))
        except Refusal as refusal:
            if node.users:
                self.refusals[f"weight {label!r}", str(tensor.dtype)] = str(refusal)
            return _refused(fact_of(tensor))

    def _input(self, name: str, fact: Fact) -> Value:
        self.builder.enter(name, "", (fact,))
        try:
            in_tract = fact_of_pairs(fact)
            kind = datum_type(in_tract.dtype)
        except Refusal as refusal:
            self.refusals[f"input {name!r}", str(fact.dtype)] = str(refusal)
            return _refused(fact)
        plain = {multiple: symbol for symbol, multiple in self.multiples.items()}
        shape = tuple(plain.get(size, size) for size in in_tract.shape)
        value = self.builder.emit(
            "tract_core_external", like=in_tract.of(shape=shape), shape=list(shape), datum_type=kind
        )
        self.graph.rename(value.name, name, len(self.graph.operations) - 1)
        self.graph.inputs.append(name)
        value = Value(in_tract.dtype, shape, name)
        self.builder.inputs.append(value)
        value = self.builder.cut_to_multiples(value, in_tract.shape)
        if not fact.dtype.is_complex:
            return value
        self.complex.append(name)
        return from_pairs(self.builder, value)

    def _call(self, node: torch.fx.Node) -> Any:
        known = node.meta.get("val")
        if isinstance(known, (int, torch.SymInt)) and reads_a_number(node):
            self._note_read(node, known)
        if isinstance(known, (int, float, bool)):
            return known
        if isinstance(known, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            expression = self._size(known)
            return size_of(expression) if isinstance(known, torch.SymInt) else expression
        if known is None and not node.users:
            return self._assertion(node)
        if node.target is operator.getitem:
            return self._item(node, *node.args)
        results = self._facts(known)
        module, name = module_path(node), op_name(node)
        self.builder.enter(identifier("_".join(filter(None, [module, name]))), module, results)
        try:
            outputs = self.builder.leave(self._lower(node))
            self._learn(results, outputs)
        except Refusal as refusal:
            reason = self._in_user_terms(str(refusal))
            self.refusals.setdefault((source_line(node), origin(node)), reason)
            outputs = tuple(_refused(fact) for fact in results)
        return outputs if isinstance(known, (tuple, list)) else outputs[0]

    def _note_read(self, node: torch.fx.Node, read: torch.SymInt | int) -> None:
        """Remember what Python code read: an expression of sizes, or a number in a tensor."""
        tensor = node.all_input_nodes[0]
        source, symbol = self.values[tensor], getattr(getattr(read, "node", None), "expr", None)
        own = isinstance(symbol, sympy.Symbol) and symbol_is_type(symbol, SymT.UNBACKED_INT)
        if (number := number_in(tensor, self._size)) is not None:
            self.twins |= {symbol: number} if own else {}
        elif source.name != _REFUSED and not source.dtype.is_floating_point:
            size = self._size(read) if isinstance(read, torch.SymInt) else sympy.Integer(read)
            if own:
                self.builder.note_read(size, source)
            else:
                self.granted.note(source, size, self._in_user_terms(str(size)))

    def _item(self, node: torch.fx.Node, call: Any, index: Any) -> Any:
        """One of several results. Those that are no tensors, None of a backward's, are left out."""
        known = call.meta["val"]
        before = sum(not isinstance(value, torch.Tensor) for value in known[:index])
        value = self.values[call][index - before]
        if isinstance(value, Value) and value.unusable and node.users:
            told = self._in_user_terms(value.unusable)
            self.refusals.setdefault((source_line(call), origin(call)), told)
        return value

    def _assertion(self, node: torch.fx.Node) -> None:
        """An assertion of the tracer's. About the model's symbols it is as true as the guards."""
        condition = self.values.get(node.args[0]) if node.args else None  # type: ignore[arg-type]
        if isinstance(condition, sympy.Eq) and any(map(self.builder.is_counted, condition.args)):
            self.refusals[source_line(node), "a shape"] = self._in_user_terms(
                taken_for_granted(*condition.args)
            )

    def _learn(self, results: Sequence[Fact], outputs: Sequence[Value]) -> None:
        """Take sizes that the tracer has no expression for from the lowering, if it has one."""
        for result, output in zip(results, outputs, strict=False):
            for size, known in zip(result.shape, output.shape, strict=False):
                if isinstance(size, sympy.Symbol) and size not in self.symbols and size != known:
                    self.twins[size] = sympy.sympify(known)
                elif self.builder.is_counted(known) and not self.builder.is_counted(size):
                    raise Refusal(taken_for_granted(known, size))

    def _facts(self, known: Any) -> tuple[Fact, ...]:
        values = known if isinstance(known, (tuple, list)) else [known]
        return tuple(self._fact(v) for v in values if isinstance(v, torch.Tensor))

    def _fact(self, tensor: torch.Tensor) -> Fact:
        shape: Sequence[Any] = tensor.shape
        sizes = (self._size(s) if isinstance(s, torch.SymInt) else s for s in shape)
        return Fact(tensor.dtype, tuple(size_of(size) for size in sizes))

    def _size(self, size: torch.SymInt | torch.SymFloat | torch.SymBool) -> sympy.Expr:
        narrowed = within(size.node.expr.xreplace(self.twins), self.bounds)
        return narrowed.xreplace(self.multiples)

    def _lower(self, node: torch.fx.Node) -> tuple[Value, ...]:
        tensors = [*(self.values[n] for n in node.all_input_nodes), *self.builder.results]
        of_complex = any(isinstance(t, Fact) and t.dtype.is_complex for t in tensors)
        lowering = lowering_of(node.target, of_complex)
        if lowering is None:
            raise Refusal(why_none(node, of_complex))
        if lowering.of_storage:
            require(
                fills_memory(node.all_input_nodes[0].meta["val"]),
                "it reads the memory of a tensor that is a part or a transposition of another; "
                "take its contiguous() copy first, or index it",
            )
        args = torch.fx.map_arg(node.args, lambda n: self.values[n])
        kwargs = torch.fx.map_arg(node.kwargs, lambda n: self.values[n])
        after_refusal = any(isinstance(t, Value) and t.name == _REFUSED for t in tensors)
        try:
            result = lowering.function(self.builder, **lowering.bind(args, kwargs))
        except Refusal:
            raise
        except Exception as error:
            if not after_refusal:
                how = f"fails with {type(error).__name__}: {error}"
                raise failed(node, lowering, how) from error
        if after_refusal:  # it was lowered for a refusal of its own, and need not make sense
            return tuple(map(_refused, self.builder.results))
        outputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        wrong = why_wrong(outputs, self.builder.results, self.sizes)
        if wrong is not None:
            raise failed(node, lowering, self._in_user_terms(wrong))
        return outputs

    def _in_user_terms(self, text: str) -> str:
        """What it says, with the user's names of the symbols for torch's."""
        names = {str(symbol): name for symbol, name in self.symbols.items()}
        return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), text)

    def _finish(self, node: torch.fx.Node) -> None:
        signature = self.program.graph_signature
        outputs: Any = node.args[0]
        for spec, value in zip(signature.output_specs, outputs, strict=True):
            if spec.kind not in (OutputKind.USER_OUTPUT, OutputKind.TOKEN):
                if self._is_buffer(value, spec.target):
                    continue
                self._raise_refusals()  # that what changes it is random says more
                line = source_line(value)
                raise CaptureError(
                    f"{line}: {spec.target!r} can't be exported, since forward changes it in place "
                    "and an NNEF graph keeps no state; return the new value as an output instead.",
                    source=line,
                )
            if spec.kind == OutputKind.USER_OUTPUT and isinstance(value, torch.fx.Node):
                self.graph.outputs.append(self._output(self.values[value]))
        self._name_outputs()

    def _is_buffer(self, node: torch.fx.Node, target: str | None) -> bool:
        """Whether a buffer is only set to itself, as `self.b = self.b.to(x.dtype)` may do."""
        buffers = self.program.graph_signature.inputs_to_buffers
        return any(
            value is self.values[node] and target is not None and buffers.get(n.name) == target
            for n, value in self.values.items()
        )

    def _output(self, value: Value) -> str:
        """The value as something that an output name can be given to, and to no other."""
        if value.name == _REFUSED or value.unusable:
            return value.name
        if value.imag is not None:
            try:
                fact_of_pairs(value)
            except Refusal as refusal:
                self.refusals["an output", str(value.dtype)] = str(refusal)
                return value.name
            self.builder.enter("output", "", (value,))
            pairs = self._output(to_pairs(self.builder, value.real, value.imag))
            self.complex.append(pairs)
            return pairs
        value = self.granted.checked(value)
        plain = value.literal is None and value.name not in (
            *self.graph.inputs,
            *self.graph.outputs,
            *self.graph.variables,
        )
        self.builder.enter("output", "", (value,))
        return value.name if plain else self.builder.copy(value).name

    def _name_outputs(self) -> None:
        count = len(self.graph.outputs)
        if count == 0:
            raise CaptureError(
                "model: can't be exported, since forward returns no tensor; return at least one."
            )
        default = ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
        names = default if self.outputs is None else list(self.outputs)
        if len(names) != count:
            raise CaptureError(
                f"output_names={names}: {len(names)} names don't fit, since forward returns "
                f"{count} tensors; give one name for each of them."
            )
        for old, new in zip(list(self.graph.outputs), names, strict=True):
            self.graph.rename(old, new)
            self.renamed[old] = new
        self.graph.outputs = names
        if self.complex:
            told = [self.renamed.get(name, name) for name in self.complex]
            self.graph.properties[schema.COMPLEX] = " ".join(told)

    def _raise_refusals(self) -> None:
        if self.refusals:
            raise all_refused(self.refusals)


def _refused(fact: Fact) -> Value:
    """Something for the walk to go on with after a refusal."""
    real = Value(fact.dtype.to_real(), fact.shape, _REFUSED)
    return Value(fact.dtype, fact.shape, _REFUSED, imag=real if fact.dtype.is_complex else None)
