"""``torchtract check-stream``: streams through a model against the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from torchtract.check.stream import StreamReport
from torchtract.check.stream import check_stream as compare_streams
from torchtract.cli.arrays import read_npz
from torchtract.cli.check import Level
from torchtract.cli.options import (
    AsJson,
    Debug,
    ModelPath,
    Settings,
    open_model,
    pulse_model,
)
from torchtract.cli.output import brief_errors, doing, print_json, show
from torchtract.errors import MismatchError
from torchtract.runtime.tables import Table

__all__ = ["check_stream"]


def check_stream(
    path: ModelPath,
    pulse: Annotated[
        str | None,
        typer.Argument(
            metavar="S=8",
            help="The symbol that streams, and how many frames a pulse has; not with --pulsed.",
        ),
    ] = None,
    pulsed_path: Annotated[
        Path | None,
        typer.Option("--pulsed", metavar="MODEL", help="What `torchtract pulse` made of MODEL."),
    ] = None,
    input_path: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="NPZ",
            help="An .npz file with values for some inputs, by their names. Others are random.",
        ),
    ] = None,
    lengths: Annotated[
        list[int] | None,
        typer.Option(
            "--length",
            min=0,
            metavar="N",
            help="How long a stream is, as a value of its symbol. Repeatable. Without: none, one, "
            "and lengths around the pulse and its multiples.",
        ),
    ] = None,
    tolerance: Annotated[
        Level, typer.Option(help="tract's name for how far off a number may be.")
    ] = Level.APPROXIMATE,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the random inputs and chunks.")
    ] = 0,
    settings: Settings = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare streams through a model with the model itself.

    That is: with what it gives for all frames at once. Each length is streamed in chunks of random
    sizes, and in one. The exit code is 1 where an output differs, or the model can't stream.
    """
    if (pulse is None) == (pulsed_path is None):
        raise typer.BadParameter("give either a pulse or --pulsed.", param_hint="'S=8'")
    with brief_errors(debug):
        model = open_model(path, settings)
        if pulsed_path is not None:
            pulsed = open_model(pulsed_path, settings)
        else:
            pulsed = pulse_model(model, pulse or "")
        inputs = read_npz(input_path) if input_path else {}
        try:
            with doing("Streaming"):
                report = compare_streams(
                    model,
                    inputs,
                    pulsed=pulsed,
                    lengths=lengths,
                    tolerance=tolerance.value,
                    seed=seed,
                )
        except MismatchError as error:
            if as_json:
                print_json(_difference(error, tolerance))
            raise
        if as_json:
            print_json({"ok": True, **report.to_dict()})
        else:
            left_out = "\n".join(f"left out: {line}" for line in report.refused)
            show(_table(report), *([left_out] if left_out else []))


def _difference(error: MismatchError, level: Level) -> dict[str, Any]:
    names = ("output", "max_abs", "max_rel", "index")
    found = {name: getattr(error, name) for name in names}
    return {"ok": False, "tolerance": level.value, "message": str(error), **found}


def _table(report: StreamReport) -> Table:
    columns = ("output", ">length", "in chunks of", ">frames", ">max abs", ">max rel")
    rows = (
        (
            row.output,
            str(row.length),
            row.chunks,
            str(row.frames),
            f"{row.comparison.max_abs:.2e}",
            f"{row.comparison.max_rel:.2e}",
        )
        for row in report.rows
    )
    return Table(f"equal, tolerance: {report.tolerance}", columns, tuple(rows))
