"""``torchtract check``: a model against recorded inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from torchtract.check.compare import Comparison, compare, tolerance_for
from torchtract.cli.arrays import Arrays, read_npz
from torchtract.cli.options import AsJson, Debug, ModelPath, Settings, Threads, open_model
from torchtract.cli.output import brief_errors, doing, print_json, show, warn
from torchtract.errors import MismatchError, RunError
from torchtract.runtime import Fact, Model
from torchtract.runtime.tables import Table

__all__ = ["Level", "check", "require_recorded", "show_comparison"]


class Level(str, Enum):
    """tract's tolerance levels, as choices of an option."""

    EXACT = "exact"
    CLOSE = "close"
    APPROXIMATE = "approximate"
    VERY = "very"
    SUPER = "super"
    ULTRA = "ultra"


@dataclass(frozen=True)
class _Result:
    """What came of one output. Without a `comparison`, its type or shape is another one."""

    output: str
    recorded: str
    computed: str
    comparison: Comparison | None

    @property
    def ok(self) -> bool:
        return self.comparison is not None and self.comparison.ok


def check(
    path: ModelPath,
    recordings: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDING",
            help="One .npz file or several that together hold all inputs and outputs.",
        ),
    ],
    tolerance: Annotated[
        Level, typer.Option(help="tract's name for how far off a number may be.")
    ] = Level.APPROXIMATE,
    settings: Settings = None,
    threads: Threads = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare a model with recorded outputs.

    The exit code is 1 where they differ.
    """
    with brief_errors(debug):
        model = open_model(path, settings)
        inputs, expected = _recorded(model, recordings)
        with doing("Compiling"):
            runnable = model.compile(threads=threads)
        with doing("Running"):
            actual = runnable.run(inputs)
        show_comparison(actual, expected, tolerance, as_json)


def show_comparison(actual: Arrays, expected: Arrays, level: Level, as_json: bool) -> None:
    """Compare what was computed with what was recorded, and tell what came of it.

    Raises:
        MismatchError: an output differs.
    """
    results = [_compare(name, actual[name], expected[name], level) for name in expected]
    if as_json:
        print_json(_data(results, level))
    else:
        show(_table(results, level))
    _warn_if_constant(expected)
    _require_ok(results, level)


def _recorded(model: Model, paths: Iterable[Path]) -> tuple[Arrays, Arrays]:
    """Inputs and outputs from the files."""
    arrays: Arrays = {}
    for path in paths:
        for name, array in read_npz(path).items():
            if name in arrays:
                raise RunError(f"{path}: {name} is in another file too: check one recording a time")
            arrays[name] = array
    outputs = [fact.name for fact in model.outputs]
    require_recorded(outputs, arrays)
    read = {fact.name for fact in model.inputs}
    inputs = {name: a for name, a in arrays.items() if name in read or name not in outputs}
    return inputs, {name: arrays[name] for name in outputs}


def require_recorded(outputs: Sequence[str], arrays: Arrays) -> None:
    """Refuse recordings without an output of the model.

    Raises:
        RunError: one is missing.
    """
    if missing := [name for name in outputs if name not in arrays]:
        raise RunError(
            f"{missing[0]}: this output is not recorded, the model gives {', '.join(outputs)}"
        )


def _compare(
    name: str, actual: npt.NDArray[Any], expected: npt.NDArray[Any], level: Level
) -> _Result:
    alike = (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    comparison = (
        compare(actual, expected, tolerance_for(level.value, expected.dtype)) if alike else None
    )
    return _Result(name, _spec(name, expected), _spec(name, actual), comparison)


def _table(results: Iterable[_Result], level: Level) -> Table:
    columns = ("output", "result", ">max abs", ">max rel", ">outside")
    return Table(f"tolerance: {level.value}", columns, tuple(map(_row, results)))


def _row(result: _Result) -> tuple[str, ...]:
    found = result.comparison
    if found is None:
        return result.output, f"{result.computed}, recorded {result.recorded}", "", "", ""
    numbers = (f"{found.max_abs:.2e}", f"{found.max_rel:.2e}", f"{found.outliers:.2%}")
    return result.output, "ok" if found.ok else "differs", *numbers


def _data(results: Sequence[_Result], level: Level) -> dict[str, Any]:
    return {
        "tolerance": level.value,
        "ok": all(result.ok for result in results),
        "outputs": [_output_data(result) for result in results],
    }


def _output_data(result: _Result) -> dict[str, Any]:
    data = {
        "output": result.output,
        "ok": result.ok,
        "recorded": result.recorded,
        "computed": result.computed,
    }
    return data if result.comparison is None else data | asdict(result.comparison)


def _warn_if_constant(expected: Arrays) -> None:
    for name, array in expected.items():
        if array.size > 1 and np.unique(array).size == 1:
            warn(
                f"the recorded output {name} has one and the same value everywhere, so this check "
                "shows nothing about it"
            )


def _require_ok(results: Iterable[_Result], level: Level) -> None:
    wrong = [result for result in results if not result.ok]
    if not wrong:
        return
    first = wrong[0]
    others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    if (found := first.comparison) is None:
        raise MismatchError(
            f"output {first.output}: computed {first.computed}, recorded {first.recorded}{others}",
            output=first.output,
        )
    raise MismatchError(
        f"output {first.output}: {found.outliers:.2%} of the elements differ beyond "
        f"{level.value!r}, worst at {list(found.index)}: computed {found.actual}, recorded "
        f"{found.expected}{others}",
        output=first.output,
        max_abs=found.max_abs,
        max_rel=found.max_rel,
        index=found.index,
    )


def _spec(name: str, array: npt.NDArray[Any]) -> str:
    return Fact(name, array.dtype.name, array.shape).spec
