"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from torchtract.cli.output import doing
from torchtract.runtime import Model, load

__all__ = ["AsJson", "Debug", "InputPath", "ModelPath", "Settings", "Threads", "open_model"]

ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A .nnef.tgz, a .nnef.tar or a folder.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Give a symbol a value: B=3, or B=3,S=8. Repeatable."
    ),
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
    values = _parse(settings or ())
    with doing(f"Loading {path}"):
        model = load(path)
        return model.set(**values) if values else model


def _parse(settings: Iterable[str]) -> dict[str, int | str]:
    values: dict[str, int | str] = {}
    for setting in (part for text in settings for part in text.split(",")):
        name, _, value = (part.strip() for part in setting.partition("="))
        if not (name.isidentifier() and value):
            raise _bad_setting(f"{setting!r} is not of the form NAME=VALUE, such as B=3.")
        if name in values:
            raise _bad_setting(f"{name} is set twice.")
        try:
            values[name] = int(value)
        except ValueError:
            values[name] = value  # an expression over other symbols
    return values


def _bad_setting(why: str) -> typer.BadParameter:
    return typer.BadParameter(why, param_hint="'--set'")
