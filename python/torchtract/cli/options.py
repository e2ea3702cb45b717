"""Arguments and options that several commands share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from torchtract.cli.output import doing
from torchtract.errors import PulseError
from torchtract.runtime import Model, PulsedModel, load

__all__ = [
    "AsJson",
    "Debug",
    "InputPath",
    "ModelPath",
    "Pulse",
    "Settings",
    "Threads",
    "check_output_path",
    "open_model",
    "pulse_model",
]

ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A .nnef.tgz, a .nnef.tar or a folder.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Give a symbol a value: B=3, or B=3,S=8. Repeatable."
    ),
]
Pulse = Annotated[
    str,
    typer.Argument(metavar="S=8", help="The symbol that streams, and how many frames a pulse has."),
]
InputPath = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="NPZ",
        help="An .npz file with an array for each input, by its name. Without: random ones.",
    ),
]
Threads = Annotated[
    int,
    typer.Option(min=1, max=1024, metavar="N", help="How many threads share a run's work."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def open_model(path: Path, settings: Iterable[str] | None) -> Model:
    """Loads a model and sets the symbols that ``--set`` tells.

    Raises:
        BadParameter: a setting is not of the form ``B=3``, or a symbol is set twice.
        LoadError: there is no model at this path that tract can load.
        SymbolError: a symbol can't have the value that it is set to.
    """
    values = _parse(settings or (), "'--set'")
    with doing(f"Loading {path}"):
        model = load(path)
        return model.set(**values) if values else model


def pulse_model(model: Model, pulse: str) -> PulsedModel:
    """Makes the model that streams, by pulses as in ``S=8``.

    Raises:
        BadParameter: the pulse is not of the form ``S=8``.
        PulseError: the model can't stream, or not so.
        SymbolError: there is no such symbol, or it has a value already.
    """
    values = _parse([pulse], "'S=8'")
    if len(values) > 1:
        raise PulseError(f"{pulse}: one symbol streams; give the others a size by --set.")
    with doing("Pulsing"):
        return model.pulse(**values)  # type: ignore[arg-type]  # it refuses expressions itself


def check_output_path(output: Path | None, inputs: Iterable[Path | None]) -> None:
    """Refuses, before the work, to write over what is read or where nothing can be.

    Raises:
        BadParameter: the output is one of the inputs.
        OSError: its folder does not exist.
    """
    if output is None:
        return
    if not output.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(output))
    if not output.exists():
        return
    for path in inputs:
        if path is not None and path.exists() and path.samefile(output):
            raise typer.BadParameter(
                f"{output} is read by this run: choose another file.", param_hint="'--output'"
            )


def _parse(settings: Iterable[str], where: str) -> dict[str, int | str]:
    values: dict[str, int | str] = {}
    for setting in (part for text in settings for part in text.split(",")):
        name, _, value = (part.strip() for part in setting.partition("="))
        if not (name.isidentifier() and value):
            why = f"{setting!r} is not of the form NAME=VALUE, such as B=3."
            raise typer.BadParameter(why, param_hint=where)
        if name in values:
            raise typer.BadParameter(f"{name} is set twice.", param_hint=where)
        try:
            values[name] = int(value)
        except ValueError:
            values[name] = value  # an expression over other symbols
    return values
