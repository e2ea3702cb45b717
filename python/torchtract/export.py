"""`export_model_to_nnef`: every stage from a PyTorch module to a checked NNEF archive, in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import sympy
import torch

from torchtract import _native
from torchtract.capture import Capture, DynamicAxes, capture
from torchtract.capture.axes import check_pulse, ranges_of
from torchtract.capture.guards import OtherProgram, check_guards
from torchtract.check.locate import Lowered
from torchtract.debug_bundle import check_bundle_path
from torchtract.errors import CaptureError, ExportError, FormatError
from torchtract.every_size import OtherSizes, lowered
from torchtract.lower import load_plugins, whole_modules_of
from torchtract.lower.multiples import multiples_beyond
from torchtract.lower.ops.experts import register_operators_of_transformers
from torchtract.nnef import Graph, check_writable, schema, staged, write_archive
from torchtract.passes import store_by_blocks
from torchtract.shapes import check_shapes
from torchtract.sizes import assertions_of
from torchtract.verify import Verification

__all__ = ["TRACING", "TractNNEF", "export_model_to_nnef"]

log = logging.getLogger(__name__)

_EXTENSIONS = ("tract_assert ", "tract_symbol ", "tract_registry ", "KHR_")


#: Torch traces one module at a time: it changes `torch.nn.Module` for all threads meanwhile.
TRACING = threading.RLock()


@dataclass(frozen=True)
class TractNNEF:
    """What the archive is for, and how it is checked.

    Attributes:
        version: the oldest tract that must read the file. The in-process check always
            runs on the embedded one, which is the default.
        check_io: run PyTorch and tract on the same inputs at several sizes of each symbol,
            and refuse the file if they differ.
        dynamic_axes: per input name, the symbol of each dynamic axis.
        check_io_tolerance: one of tract's levels: `exact`, `close`, `approximate`, `very`,
            `super`, `ultra`. It holds for `check_stream` too.
        check_stream: the symbol that streams and its value for one pulse, `{"S": 8}`: pulse the
            model, compare streams of several lengths with what tract gives for all frames at once,
            and refuse the file if they differ or it can't stream. The streams are made of the
            example's own values, cropped or repeated; where all frames of the example are alike,
            floating-point inputs are random.
        check_sizes: further sizes for `check_io`, each of every symbol: `[{"B": 1, "S": 4096}]`.
        specific_properties: what the file tells beside the versions, text by name.
        block_quant: how weights are stored, `q4_0` by their name in the `state_dict`. They are
            matrices that are looked up or multiplied with. The file is compared with the module as
            it is, so its weights had better be what that format keeps of them: see
            `torchtract.llm.export`, which sees to that.
        weights: by name in the `state_dict`, what gives the values of a weight when they are
            written, for a module that is only as large as its weights are: one at a time is in
            memory. `check_io` has to be off.
        random: let random operators draw from tract's own generator, other numbers at each run.
            They are refused otherwise: what a model draws can't be checked, so `check_io` has to
            be off.

    Raises:
        FormatError: `version` is none that is known.
        CaptureError: there are `weights`, and something is to be checked.
        PulseError: `check_stream` is not one symbol with a whole number above zero.
        SymbolError: its symbol is not among `dynamic_axes`.
    """

    version: str = schema.EMBEDDED
    check_io: bool = True
    dynamic_axes: DynamicAxes = field(default_factory=dict)
    check_io_tolerance: str = "approximate"
    check_stream: Mapping[str, SupportsIndex] | None = None
    random: bool = False
    check_sizes: Sequence[Mapping[str, int]] = ()
    specific_properties: Mapping[str, str] = field(default_factory=dict)
    block_quant: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        schema.check_version(self.version)
        if self.weights and (self.check_io or self.check_stream is not None):
            raise CaptureError(
                "weights: the file can't be compared with a module that does not hold them; set "
                "check_io=False and no check_stream."
            )
        if self.check_stream is not None:
            where = f"check_stream={self.check_stream!r}"
            check_pulse(where, self.check_stream, self.dynamic_axes)

    @classmethod
    def latest_version(cls) -> str:
        """The newest version of tract that files can be written for: the embedded one."""
        return schema.EMBEDDED


def export_model_to_nnef(
    model: torch.nn.Module,
    args: torch.Tensor | Sequence[Any],
    file_path_export: str | PathLike[str],
    inference_target: TractNNEF | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    compression_level: int | None = None,
    debug_bundle_path: str | PathLike[str] | None = None,
    custom_extensions: Iterable[str] | None = None,
) -> Path:
    """Write a PyTorch module as an NNEF archive that tract loads.

    Threads that export at the same time take turns.

    Args:
        model: the module, in evaluation mode.
        args: example arguments of its `forward`; one tensor stands for a tuple of one.
        file_path_export: `.nnef.tgz`, `.nnef.tar`, or a folder.
        inference_target: version, dynamic axes and checks.
        input_names: one for each tensor among the arguments.
        output_names: one for each output tensor.
        kwargs: example keyword arguments of `forward`.
        compression_level: of a `.tgz`, 0 (none) to 9 (smallest).
        debug_bundle_path: a `.tgz` to write if `check_io` fails, with all that is needed to look
            into it: model, inputs, outputs, program, graph, report and versions.
            `torchtract replay` runs it again.
        custom_extensions: lines for the graph's head, such as `tract_assert B >= 1`.

    Returns:
        The path that was written.

    Raises:
        CaptureError: the module, its arguments or the dynamic axes can't be captured.
        UnsupportedOpError: calls in the module have no counterpart; all are listed by line.
        LoweringError: a lowering fails, or a package's lowerings can't be loaded.
        FormatError: the graph can't be said for this version, or the file can't be written.
        MismatchError: tract gives other numbers than PyTorch; with the operation in which
            that begins. Or a stream gives other numbers than all frames at once. No file is left
            behind.
        PulseError: the model can't stream, where `check_stream` says that it has to; likewise.
    """
    target = inference_target or TractNNEF()
    path = Path(file_path_export)
    bundle = None if debug_bundle_path is None else Path(debug_bundle_path)
    check_writable(path, compression_level)
    if bundle is not None:
        check_bundle_path(bundle)
    lines = [*_extensions(custom_extensions), *ranges_of(target.dynamic_axes)]
    extensions = list(dict.fromkeys(lines))
    assertions = assertions_of(extensions)
    args = (args,) if isinstance(args, torch.Tensor) else tuple(args)
    load_plugins()
    register_operators_of_transformers()
    with TRACING:
        captured = capture(
            model,
            args,
            kwargs,
            input_names=input_names,
            output_names=output_names,
            dynamic_axes=target.dynamic_axes,
            assertions=assertions,
            whole_of=whole_modules_of,
        )
        lowered = _lowered_at_all_sizes(captured, target, extensions)
    store_by_blocks(lowered.graph, target.block_quant)
    schema.check_graph(lowered.graph, target.version)
    with staged(path) as unfinished:
        write_archive(
            lowered.graph, unfinished, version=target.version, compression_level=compression_level
        )
        verification = Verification(
            model, args, kwargs or {}, lowered, unfinished, target.check_io_tolerance, path
        )
        if target.check_io:
            log.info("%s", verification.run(bundle, target.check_sizes))
        if target.check_stream is not None:
            log.info("%s", verification.run_stream(target.check_stream))
    return path


def _lowered_at_all_sizes(captured: Capture, target: TractNNEF, extensions: list[str]) -> Lowered:
    """The graph of a module, which is the same at all sizes, or a refusal.

    Of two programs, the one for all sizes may be that of the others than the example's: where S
    is no multiple of 8, the module pads.
    """
    try:
        return _lowered_as_captured(captured, target, extensions)
    except OtherProgram as other:
        refusal = CaptureError(str(other), source=other.source)
        condition, sizes = other.condition, other.sizes
    if multiples_beyond(sympy.Not(condition)):
        with suppress(ExportError):
            moved = captured.moved(sizes, assertions_of(extensions))
            return _lowered_as_captured(moved, target, extensions)
    raise refusal


def _lowered_as_captured(captured: Capture, target: TractNNEF, extensions: list[str]) -> Lowered:
    extensions = extensions + _own_assertions(captured)
    assertions = assertions_of(extensions)
    lower = partial(lowered, version=target.version, random=target.random, weights=target.weights)
    other = OtherSizes(captured, assertions, lower)
    program, graph = other.lowered.program, other.lowered.graph
    _check_random(graph, target)
    known = captured.symbols, assertions, other.same_program
    check_guards(captured.guards, *known, other.same_beyond)
    check_shapes(program, captured.sizes, *known)
    graph.extensions = extensions
    _take_multiples(graph)
    graph.properties |= _properties(graph) | dict(target.specific_properties)
    return other.lowered


def _take_multiples(graph: Graph) -> None:
    """Keep assertions about multiples from tract, which they would let run without end."""
    for line in list(graph.extensions):
        for assertion in assertions_of([line]):
            if assertion.is_of_multiples:
                graph.extensions.remove(line)
                graph.assert_multiple(assertion.text)


def _check_random(graph: Graph, target: TractNNEF) -> None:
    drawn = any(operation.op == "tract_onnx_random" for operation in graph.operations)
    if drawn and (target.check_io or target.check_stream is not None):
        raise CaptureError(
            "random=True: the file can't be compared with PyTorch, since each run draws other "
            "numbers; set check_io=False and no check_stream."
        )


def _own_assertions(captured: Capture) -> list[str]:
    """Assertions that keep a model from sizes at which its module runs other code, or rounds."""
    for symbol, line in captured.above_zero.items():
        log.warning(
            "%s: asks about an empty axis, so the model refuses %s=0; assert `%s >= 1` if that is "
            "meant, or `%s >= 0` to have it exported or told why not.",
            *(line, symbol, symbol, symbol),
        )
    return [
        *(f"tract_assert {symbol} >= 1" for symbol in captured.above_zero),
        *(f"tract_assert {symbol} <= {size}" for symbol, size in captured.exact_up_to.items()),
    ]


def _extensions(custom: Iterable[str] | None) -> list[str]:
    """The user's extension lines without the word `extension` and the semicolon."""
    lines = [line.strip().removeprefix("extension ").removesuffix(";") for line in custom or ()]
    unknown = [line for line in lines if not line.startswith(_EXTENSIONS)]
    if unknown:
        raise FormatError(
            f"custom_extensions=[{unknown[0]!r}]: tract knows no such extension; "
            f"use one of {', '.join(_EXTENSIONS)}."
        )
    return lines


def _properties(graph: Graph) -> dict[str, str]:
    """Versions, and the modules by which a profile is grouped. Nothing about the machine."""
    modules = dict.fromkeys(o.module for o in graph.operations if o.module)
    return {
        "torchtract.version": _native.__version__,
        "torch.version": torch.__version__.split("+")[0],
        "torchtract.modules": " ".join(modules),
    }
