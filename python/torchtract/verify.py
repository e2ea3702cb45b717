"""A written model against the module it was made from, and what is kept where they differ."""

from __future__ import annotations

import json
import logging
import platform
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import torch

from torchtract import _native
from torchtract.check.example import Example
from torchtract.check.io import IoCheck
from torchtract.check.locate import Lowered, locate
from torchtract.check.report import Divergence, IoReport, finite
from torchtract.check.stream import StreamReport, check_stream, usual_lengths
from torchtract.check.trial import Trial, to_numpy
from torchtract.debug_bundle import write_debug_bundle
from torchtract.errors import EngineError, FormatError, MismatchError
from torchtract.nnef import format_graph, schema
from torchtract.runtime import load

__all__ = ["Verification"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verification:
    """A written model beside all that it was made from.

    Attributes:
        module: in evaluation mode.
        args: its positional example arguments.
        kwargs: its keyword example arguments.
        lowered: the program that was captured from it, and what was made of that.
        path: of the model. There is room for a second one beside it.
        tolerance: one of tract's levels.
        target: the path that the user gave, which it will have.
    """

    module: torch.nn.Module
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    lowered: Lowered
    path: Path
    tolerance: str
    target: Path

    def run(
        self,
        debug_bundle_path: Path | None = None,
        further_sizes: Iterable[Mapping[str, int]] = (),
    ) -> IoReport:
        """Compare them, and write a debug bundle if that fails.

        Args:
            debug_bundle_path: of the bundle.
            further_sizes: to compare them at, each of every symbol.

        Raises:
            MismatchError: tract gives other numbers than PyTorch; with the operation in which
                that begins.
            EngineError: tract can't load, compile or run the model.
        """
        check = IoCheck(self.module, self.tolerance, self._locate)
        try:
            return check.run(load(self.path), self.args, self.kwargs, further=further_sizes)
        except MismatchError as error:
            self._keep(debug_bundle_path, check, error)
            raise
        except EngineError as error:
            check.trial = check.trial or self._reference()
            found = self._locate(check.trial, None)
            check.report = replace(check.report, divergence=found)
            told = str(error).replace(str(self.path.absolute()), str(self.target))
            located = type(error)(f"{told}\n{found}")
            self._keep(debug_bundle_path, check, located)
            raise located from error

    def run_stream(self, pulse: Mapping[str, SupportsIndex]) -> StreamReport:
        """Compare streams through the model with what it gives for all frames at once.

        Args:
            pulse: the symbol that streams, and its value for one pulse.

        Raises:
            PulseError: the model can't stream, and which layer is to blame.
            MismatchError: an output differs, and from which frame on.
            EngineError: tract can't load, compile or run the model.
        """
        model = load(self.path)
        pulsed = model.pulse(allow_unequal=False, **pulse)
        example = Example(model, self.args, self.kwargs)
        lengths = sorted({*usual_lengths(pulsed), example.sizes[pulsed.symbol]})
        inputs = example.for_stream(pulsed.symbol, lengths[-1])
        return check_stream(model, inputs, pulsed=pulsed, lengths=lengths, tolerance=self.tolerance)

    def _reference(self) -> Trial:
        """PyTorch's outputs for the example, where tract gave none."""
        names = self.lowered.graph.inputs, self.lowered.graph.outputs
        return Trial.of(self.module, self.args, self.kwargs, *names, sizes={})

    def _locate(self, trial: Trial, output: str | None) -> Divergence:
        """The operation in which a difference begins."""
        try:
            return locate(self.lowered, trial, output, self.tolerance, self.path.parent)
        except Exception as error:  # noqa: BLE001  (it must not hide what it is looked for)
            return Divergence(f"The first operation that differs was not found: {error!r}")

    def _keep(self, path: Path | None, check: IoCheck, error: EngineError) -> None:
        """Write what is known of a failure, if the user said where to."""
        if path is None or check.trial is None:
            return
        trial = check.trial
        report = {"error": type(error).__name__, "message": str(error), "sizes": trial.sizes}
        data = finite(report | check.report.to_dict())
        texts = {
            "report.txt": f"{''.join(traceback.format_exception(error))}\n{check.report}\n",
            "report.json": json.dumps(data, indent=2, allow_nan=False),
            "versions.txt": _versions(),
            "graph.nnef": format_graph(self.lowered.graph, self.lowered.version),
            "program.txt": str(self.lowered.program),
        }
        inputs = {name: to_numpy(tensor) for name, tensor in trial.inputs.items()}
        try:
            write_debug_bundle(path, self.path, inputs, trial.expected, trial.actual, texts)
        except (FormatError, OSError) as failure:
            log.error("debug_bundle_path: %s", failure)


def _versions() -> str:
    return (
        f"torchtract {_native.__version__}\ntract {schema.EMBEDDED}\n"
        f"torch {torch.__version__}\npython {platform.python_version()}\n"
        f"{platform.system()} {platform.machine()}\n"
    )
