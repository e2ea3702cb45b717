"""``torchtract replay``: a failed check, from its debug bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchtract.cli.check import Level, require_recorded, show_comparison
from torchtract.cli.options import AsJson, Debug, Threads
from torchtract.cli.output import brief_errors, doing, show
from torchtract.debug_bundle import read_debug_bundle
from torchtract.runtime import load

__all__ = ["replay"]


def replay(
    path: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="What an export wrote to its debug_bundle_path."),
    ],
    tolerance: Annotated[
        Level | None,
        typer.Option(help="tract's name for how far off a number may be. Without: as recorded."),
    ] = None,
    threads: Threads = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Repeat a failed check from its debug bundle.

    PyTorch's outputs are the recorded ones. The exit code is 1 where tract's still differ.
    """
    with brief_errors(debug):
        with doing(f"Loading {path}"):
            bundle = read_debug_bundle(path)
        if not as_json:
            show(f"recorded: {bundle.report.get('message', 'no message')}\n")
        with doing("Compiling"):
            runnable = load(bundle.model).compile(threads=threads)
        require_recorded([fact.name for fact in runnable.outputs], bundle.expected)
        with doing("Running"):
            actual = runnable.run(bundle.inputs)
        expected = {name: bundle.expected[name] for name in actual}
        level = tolerance or Level(bundle.report["tolerance"])
        show_comparison(actual, expected, level, as_json)
