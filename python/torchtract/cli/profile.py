"""``torchtract profile``: where the time of a run goes."""

from __future__ import annotations

from typing import Annotated

import typer

from torchtract.cli.arrays import random_inputs, read_npz
from torchtract.cli.options import (
    AsJson,
    Debug,
    InputPath,
    ModelPath,
    Settings,
    Threads,
    open_model,
)
from torchtract.cli.output import brief_errors, doing, print_json, show

__all__ = ["profile"]

SECONDS = 2.0
"""How long to measure."""


def profile(
    path: ModelPath,
    settings: Settings = None,
    input_path: InputPath = None,
    threads: Threads = 1,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many rows of each table to show.")
    ] = 10,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show where the time of a run goes.

    Times are means over the runs that fit into 2 seconds, per operator, PyTorch module and node.
    """
    with brief_errors(debug):
        model = open_model(path, settings)
        inputs = read_npz(input_path) if input_path else random_inputs(model)
        with doing("Compiling"):
            runnable = model.compile(threads=threads)
        with doing("Measuring"):
            measured = runnable.profile(inputs, max_seconds=SECONDS)
        if as_json:
            print_json(measured.to_dict())
        else:
            show(measured.summary(), *measured.tables(rows=top))
