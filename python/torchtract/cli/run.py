"""``torchtract run``: inputs from a file, outputs to another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from torchtract.cli.arrays import read_npz, write_npz
from torchtract.cli.options import (
    Debug,
    ModelPath,
    Settings,
    Threads,
    check_output_path,
    open_model,
)
from torchtract.cli.output import brief_errors, doing, show
from torchtract.runtime import Fact
from torchtract.runtime.tables import Table

__all__ = ["run", "summary"]


def run(
    path: ModelPath,
    input_path: Annotated[
        Path | None,
        typer.Argument(metavar="INPUTS", help="An .npz file with an array for each input."),
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="NPZ", help="Write the outputs to this file."),
    ] = None,
    settings: Settings = None,
    threads: Threads = 1,
    debug: Debug = False,
) -> None:
    """Run a model once on recorded inputs.

    The outputs are written to a file, if one is named, and summed up.
    """
    with brief_errors(debug):
        check_output_path(output_path, (path, input_path))
        model = open_model(path, settings)
        inputs = read_npz(input_path) if input_path else {}
        with doing("Compiling"):
            runnable = model.compile(threads=threads)
        with doing("Running"):
            outputs = runnable.run(inputs)
        if output_path is not None:
            write_npz(output_path, outputs)
        show(summary(outputs, output_path))


def summary(outputs: Mapping[str, npt.NDArray[Any]], written_to: Path | None) -> Table:
    """A table of outputs: their shapes, and what values they have."""
    title = "outputs" if written_to is None else f"outputs, written to {written_to}"
    columns = ("output", "shape and type", ">min", ">mean", ">max")
    return Table(title, columns, tuple(_row(name, array) for name, array in outputs.items()))


def _row(name: str, array: npt.NDArray[Any]) -> tuple[str, ...]:
    spec = Fact(name, array.dtype.name, array.shape).spec
    if array.size == 0 or array.dtype.kind == "c":
        return name, spec, "", "", ""
    wide = array.astype(np.float64) if array.dtype.kind in "fb" else array
    return name, spec, *(f"{value:.6g}" for value in (wide.min(), wide.mean(), wide.max()))
