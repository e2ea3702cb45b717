"""``torchtract llm export``: from a folder of Hugging Face's format to one for tract."""

from __future__ import annotations

import contextlib
import enum
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from torchtract.cli.llm.options import TokenizerPath
from torchtract.cli.options import Debug
from torchtract.cli.output import brief_errors, doing
from torchtract.errors import ExportError

__all__ = ["export"]


class _DType(str, enum.Enum):
    """What torch calls them."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class _Quantize(str, enum.Enum):
    """As `torchtract.llm.export` takes them."""

    Q4_0 = "q4_0"


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A folder of Hugging Face's format, or a name in its cache."
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="A folder for the model and its tokenizer; a .nnef.tgz for the model alone.",
        ),
    ],
    tokenizer: TokenizerPath = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of a text, in tokens.")
    ] = None,
    dtype: Annotated[_DType, typer.Option(help="Of weights and activations.")] = _DType.FLOAT32,
    quantize: Annotated[
        _Quantize | None, typer.Option(help="How weights are stored. Without: as they are.")
    ] = None,
    leave: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Weights not to quantize, as '*lm_head*'. Repeatable."
        ),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A LoRA adapter of peft, added to the weights."),
    ] = None,
    check_io: Annotated[
        bool, typer.Option(" /--no-check", help="Compare with PyTorch before the file is there.")
    ] = True,
    debug: Debug = False,
) -> None:
    """Export a causal language model of transformers, with its caches.

    Nothing is downloaded. The file is compared with PyTorch, which takes the memory for the whole
    model; torchtract.llm.export has more options.
    """
    if leave and quantize is None:
        raise typer.BadParameter("goes with --quantize", param_hint="--leave")
    with brief_errors(debug):
        torch, write = _exporter()
        try:
            with doing(f"Exporting {source}"), _summary() as told:
                write(
                    source,
                    target,
                    tokenizer=tokenizer,
                    max_length=max_length,
                    dtype=getattr(torch, dtype.value),
                    quantize=quantize and {**dict.fromkeys(leave or ()), "*": quantize.value},
                    adapter=adapter,
                    check_io=check_io,
                )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        for line in told:
            typer.echo(line, err=True)
        typer.echo(f"wrote {target}")


@contextlib.contextmanager
def _summary() -> Iterator[list[str]]:
    """What the export logs in sum of weights that it quantizes."""
    told: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, keep = logging.getLogger("torchtract.llm.exporter.quantized.summary"), Keep()
    level = logger.level
    logger.addHandler(keep)
    logger.setLevel(logging.INFO)
    try:
        yield told
    finally:
        logger.setLevel(level)
        logger.removeHandler(keep)


def _exporter() -> tuple[Any, Callable[..., Path]]:
    try:
        import torch

        from torchtract.llm import export as write
    except ImportError as error:
        raise ExportError(
            f"export: needs PyTorch and transformers, and {error.name} is not installed; "
            "pip install 'torchtract[export]' transformers."
        ) from error
    return torch, write
