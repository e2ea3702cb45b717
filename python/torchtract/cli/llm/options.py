"""What the commands for language models share: options, the model, and its text as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from torchtract.cli.output import doing, show_piece
from torchtract.llm import Generation, GenerationOptions, LanguageModel, TextStream, load

__all__ = [
    "FolderPath",
    "MaxNewTokens",
    "MinP",
    "RepetitionPenalty",
    "Seed",
    "Stop",
    "Temperature",
    "TokenizerPath",
    "TopK",
    "TopP",
    "asked_for",
    "open_language_model",
    "printed",
]

FolderPath = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="What export wrote: a folder, or a .nnef.tgz or .nnef.tar alone."
    ),
]
TokenizerPath = Annotated[
    Path | None,
    typer.Option("--tokenizer", metavar="FOLDER", help="Another folder with the tokenizer."),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        metavar="N",
        help="The most tokens to generate. Without: as generation_config.json says.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="T", help="0 for the likeliest tokens. Without: as generation_config.json says."
    ),
]
TopK = Annotated[
    int | None, typer.Option(metavar="K", help="Draw from the K likeliest tokens; 0 from all.")
]
TopP = Annotated[
    float | None,
    typer.Option(metavar="P", help="Draw from the likeliest tokens that make up this much."),
]
MinP = Annotated[
    float | None,
    typer.Option(metavar="P", help="Draw from tokens this much as likely as the likeliest."),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(metavar="F", help="Above 1, makes tokens less likely that were there."),
]
Stop = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="End at this text. Repeatable.")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Draw the same tokens again.")]


def open_language_model(path: Path, tokenizer: Path | None, threads: int) -> LanguageModel:
    """Loads a model with its tokenizer.

    Raises:
        LoadError: one of them is missing or broken.
    """
    with doing(f"Loading {path}"):
        return load(path, tokenizer, threads=threads)


def printed(stream: TextStream, quiet: bool = False) -> Generation:
    """Prints a text while it is generated, unless `quiet`, and gives it."""
    with stream:
        for piece in stream:
            if not quiet:
                show_piece(piece)
    if not quiet:
        show_piece("\n")
    assert stream.result is not None
    return stream.result


def asked_for(
    max_new_tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    repetition_penalty: float | None,
    stop: Sequence[str] | None,
    seed: int | None,
) -> GenerationOptions:
    """The options as `LanguageModel.generate` takes them."""
    return {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "stop": stop or (),
        "seed": seed,
    }
