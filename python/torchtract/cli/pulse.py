"""``torchtract pulse``: a model that computes a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from torchtract.cli.options import (
    AsJson,
    Debug,
    ModelPath,
    Pulse,
    Settings,
    check_output_path,
    open_model,
    pulse_model,
)
from torchtract.cli.output import brief_errors, doing, print_json, show
from torchtract.runtime import Fact, PulsedModel, StreamAxis
from torchtract.runtime.tables import Table

__all__ = ["pulse"]


def pulse(
    path: ModelPath,
    pulse: Pulse,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="MODEL",
            help="Write the pulsed model: .nnef.tgz or .nnef.tar.",
        ),
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make a model of one that computes a stream.

    Shown are the axis of the frames of each input and output, how many a pulse has, and by how
    many frames an output comes behind. The model is written to a file, if one is named.
    """
    with brief_errors(debug):
        check_output_path(output_path, (path,))
        pulsed = pulse_model(open_model(path, settings), pulse)
        if output_path is not None:
            with doing(f"Writing {output_path}"):
                pulsed.save(output_path)
        if as_json:
            print_json(_data(pulsed))
        else:
            show(_table(path.name, pulsed), _told(pulsed, output_path))


def _data(pulsed: PulsedModel) -> dict[str, Any]:
    return {
        "symbol": pulsed.symbol,
        "pulse": pulsed.pulse_size,
        "delay": pulsed.delay,
        "latency": pulsed.latency,
        "inputs": _facts(pulsed.inputs, pulsed.input_streams),
        "outputs": _facts(pulsed.outputs, pulsed.output_streams),
        "symbols": pulsed.symbols,
        "assertions": pulsed.assertions,
    }


def _facts(facts: Iterable[Fact], streams: Mapping[str, StreamAxis | None]) -> list[dict[str, Any]]:
    none = {"axis": None, "pulse": None, "delay": None}
    return [
        asdict(fact) | (asdict(axis) if (axis := streams[fact.name]) else none) for fact in facts
    ]


def _table(name: str, pulsed: PulsedModel) -> Table:
    facts = (
        *(("input", fact, pulsed.input_streams[fact.name]) for fact in pulsed.inputs),
        *(("output", fact, pulsed.output_streams[fact.name]) for fact in pulsed.outputs),
    )
    rows = (
        *((which, fact.name, fact.spec, *_cells(axis)) for which, fact, axis in facts),
        *(("symbol", symbol, "", "", "", "") for symbol in pulsed.symbols),
        *(("assertion", "", assertion, "", "", "") for assertion in pulsed.assertions),
    )
    title = f"{name}, {pulsed.symbol}={pulsed.pulse_size}"
    return Table(title, ("", "name", "shape and type", ">axis", ">pulse", ">delay"), rows)


def _cells(axis: StreamAxis | None) -> tuple[str, str, str]:
    return (str(axis.axis), str(axis.pulse), str(axis.delay)) if axis else ("", "", "")


def _told(pulsed: PulsedModel, written_to: Path | None) -> str:
    frames = f"{pulsed.latency} frame{'s' * (pulsed.latency != 1)} of {pulsed.symbol}"
    latency = f"latency: at most {frames} from a frame's arrival to its output"
    return latency if written_to is None else f"{latency}\nwritten to {written_to}"
