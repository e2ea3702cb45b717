"""Whether a model is exported, and whether the file gives PyTorch's numbers."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from benchmarks.exporters import target_of_torch_to_nnef
from models.cases import ModelCase
from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.capture.signature import input_names_of, signature_of
from torchtract.check.compare import Tolerance, compare
from torchtract.check.trial import Trial, arrays_of
from torchtract.errors import EngineError, ExportError
from torchtract.runtime import Model

__all__ = ["EXPORTERS", "OURS", "Exporter", "Outcome", "compare_with_torch", "export", "outcome_of"]

#: Writes a file in a folder: `exporter(case, module, folder)`.
Exporter: TypeAlias = Callable[[ModelCase, torch.nn.Module, Path], Path]

OURS = "torchtract"

# Sums in another order differ by some 1e-6 of what a layer gives, and the next layers multiply
# that. It is relative to the largest value of an output: the small ones are differences of
# large ones.
_RELATIVE = 1e-3
_RELATIVE_TO_LARGEST = 1e-4


@dataclass(frozen=True)
class Outcome:
    """What became of a model.

    Attributes:
        result: `right`; `refused`, by the exporter; `fails`, where the file does not load or
            run; `wrong`, where shapes or numbers differ; `crash` and `timeout`, of the process.
        why: the first line of the message, where it is not right.
        seconds: that the export took.
    """

    result: str
    why: str = ""
    seconds: float | None = None


def outcome_of(case: ModelCase, exporter: str) -> Outcome:
    """Export a model, run the file at all sizes of the case, and compare."""
    export_to = EXPORTERS[exporter]
    module = case.make()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        try:
            path = export_to(case, module, Path(folder))
        except Exception as error:  # noqa: BLE001 - peers raise what they like
            result = "refused" if exporter != OURS or _is_refusal(error) else "fails"
            return Outcome(result, _why(error))
        seconds = time.perf_counter() - started
        try:
            compare_with_torch(case, module, load(path))
        except EngineError as error:
            return Outcome("fails", _why(error), seconds)
        except AssertionError as error:
            return Outcome("wrong", _why(error), seconds)
    return Outcome("right", seconds=seconds)


def export(case: ModelCase, module: torch.nn.Module, folder: Path) -> Path:
    """Export by torchtract, without a check."""
    return export_model_to_nnef(
        model=module,
        args=case.inputs(**case.traced),
        file_path_export=folder / "model.nnef.tar",
        inference_target=TractNNEF(check_io=False, dynamic_axes=case.dynamic_axes),
        custom_extensions=case.assertions,
    )


def compare_with_torch(case: ModelCase, module: torch.nn.Module, model: Model) -> None:
    """Compare at the traced sizes and at the others.

    Raises:
        AssertionError: an output differs, or is the same whatever the inputs are.
    """
    runnable = model.compile()
    inputs, outputs = ([f.name for f in facts] for facts in (model.inputs, model.outputs))
    for sizes in (case.traced, *case.sizes):
        args = case.inputs(**sizes)
        trial = Trial.of(module, args, {}, inputs, outputs, sizes)
        actual = runnable.run(trial.inputs)
        assert len(trial.expected) == len(actual), f"{len(actual)} outputs"
        for name, expected in trial.expected.items():
            _assert_alike(f"{name} at {dict(sizes)}", actual[name], expected)
    _assert_depends_on_inputs(module, case, trial.expected)


def _assert_alike(what: str, actual: np.ndarray, expected: np.ndarray) -> None:
    facts = [f"{a.dtype}{list(a.shape)}" for a in (actual, expected)]
    assert facts[0] == facts[1], f"{what}: tract gives {facts[0]}, PyTorch {facts[1]}"
    result = compare(actual, expected, _tolerance(expected))
    assert result.ok, (
        f"{what}: {result.outliers:.2%} differ; at {list(result.index)} tract gives "
        f"{result.actual}, PyTorch {result.expected}"
    )


def _tolerance(expected: np.ndarray) -> Tolerance:
    if expected.dtype.kind in "biu" or not expected.size:
        return Tolerance(0, 0)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return Tolerance(_RELATIVE_TO_LARGEST * float(largest), _RELATIVE)


def _assert_depends_on_inputs(
    module: torch.nn.Module, case: ModelCase, before: Mapping[str, np.ndarray]
) -> None:
    """Other random inputs must give outputs that no tolerance would let pass for these."""
    with torch.no_grad():
        after = arrays_of(module(*case.inputs(**case.sizes[-1])))
    pairs = zip(after, before.values(), strict=True)
    differ = [not compare(a, b, _times_ten(_tolerance(b))).ok for a, b in pairs]
    assert any(differ), "the reference does not depend on the inputs"


def _times_ten(tolerance: Tolerance) -> Tolerance:
    return Tolerance(10 * tolerance.atol, 10 * tolerance.rtol)


def _is_refusal(error: Exception) -> bool:
    from torchtract.errors import LoweringError

    return isinstance(error, ExportError) and not isinstance(error, LoweringError)


def _why(error: BaseException) -> str:
    """The message in short: its first line, and the first of the calls that are refused."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = getattr(error, "refusals", ())[:1] or lines[:1]
    text = " ".join([type(error).__name__ + ":", *first])
    return re.sub(r"\S*/site-packages/", "", " ".join(text.split()))


def _export_by_torch_to_nnef(case: ModelCase, module: torch.nn.Module, folder: Path) -> Path:
    from torch_to_nnef import export_model_to_nnef as export_by_peer

    args = case.inputs(**case.traced)
    with torch.no_grad():
        outputs = len(arrays_of(module(*args)))
    export_by_peer(
        model=module,
        args=args,
        file_path_export=folder / "model.nnef",
        inference_target=target_of_torch_to_nnef(folder, case.dynamic_axes),
        input_names=input_names_of(signature_of(module), args, {}, None),
        output_names=[f"output_{i}" for i in range(outputs)],
        custom_extensions=list(case.assertions),
    )
    return next(folder.glob("model.nnef.t*"))


EXPORTERS: Mapping[str, Exporter] = {
    OURS: export,
    "torch-to-nnef": _export_by_torch_to_nnef,
}
