"""All commands, put together."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import torchtract
from torchtract.cli.bench import bench
from torchtract.cli.check import check
from torchtract.cli.check_stream import check_stream
from torchtract.cli.dump import dump
from torchtract.cli.llm import app as llm
from torchtract.cli.profile import profile
from torchtract.cli.pulse import pulse
from torchtract.cli.replay import replay
from torchtract.cli.run import run
from torchtract.cli.stream import stream

_EXAMPLES: dict[Callable[..., None], str] = {
    dump: "torchtract dump --set B=3 vit.nnef.tgz",
    profile: "torchtract profile --set B=3 --top 5 vit.nnef.tgz",
    run: "torchtract run vit.nnef.tgz in.npz -o out.npz",
    check: "torchtract check vit.nnef.tgz in.npz out.npz",
    replay: "torchtract replay debug.tgz",
    bench: "torchtract bench --set B=3 --threads 2 vit.nnef.tgz",
    pulse: "torchtract pulse encoder.nnef.tgz S=8 -o encoder_pulse8.nnef.tgz",
    check_stream: "torchtract check-stream encoder.nnef.tgz S=8",
    stream: "torchtract stream encoder_pulse8.nnef.tgz audio.wav -o out.npz",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # help and usage errors without boxes, in a pipe too
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command, _example in _EXAMPLES.items():
    app.command(epilog=f"\b\nExample:\n  {_example}")(_command)
app.add_typer(llm, name="llm")


def main() -> None:
    """Runs the command that `sys.argv` asks for, and exits."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the output's encoding can't say must not end in a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="torchtract")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"torchtract {torchtract.__version__}")
        raise typer.Exit


@app.callback()
def _torchtract(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Look at NNEF models, run them in tract, and measure them."""
