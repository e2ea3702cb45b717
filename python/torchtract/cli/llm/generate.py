"""``torchtract llm generate``: continues a text."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated, Any

import typer

from torchtract.cli.llm.options import (
    FolderPath,
    MaxNewTokens,
    MinP,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TokenizerPath,
    TopK,
    TopP,
    asked_for,
    open_language_model,
    printed,
)
from torchtract.cli.options import AsJson, Debug, Threads
from torchtract.cli.output import brief_errors, print_json
from torchtract.llm import Generation

__all__ = ["generate"]


def generate(
    path: FolderPath,
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="A text, - for standard input; token ids as in '17 4 99' without a tokenizer.",
        ),
    ],
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    stop: Stop = None,
    seed: Seed = None,
    tokenizer: TokenizerPath = None,
    timings: Annotated[
        bool, typer.Option("--timings", help="Say on standard error how fast it was.")
    ] = False,
    threads: Threads = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Continue a text.

    The text is printed while it is generated, and ends at the end of text, at a stop text, or
    after as many tokens as are asked for.
    """
    asked = asked_for(
        max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, stop, seed
    )
    with brief_errors(debug):
        lm = open_language_model(path, tokenizer, threads)
        text = sys.stdin.read() if prompt == "-" else prompt
        result = printed(lm.generate(text, stream=True, **asked), quiet=as_json)
        if as_json:
            print_json(_data(result))
        if timings:
            typer.echo(_speed(result), err=True)


def _data(result: Generation) -> dict[str, Any]:
    timings = result.timings
    return {
        **dataclasses.asdict(result),
        "timings": {
            **dataclasses.asdict(timings),
            "prompt_tokens_per_second": timings.prompt_tokens_per_second,
            "generated_tokens_per_second": timings.generated_tokens_per_second,
        },
    }


def _speed(result: Generation) -> str:
    timings = result.timings
    parts = [f"prompt: {result.prompt_tokens} tokens, {timings.prompt_tokens_per_second:.4g}/s"]
    new = f"new: {len(result.tokens)} tokens"
    if timings.generated_tokens:
        new += f", {timings.generated_tokens_per_second:.4g}/s"
    parts.append(new)
    if timings.peak_memory is not None:
        parts.append(f"memory: {timings.peak_memory / 1e6:.0f} MB at most")
    return "; ".join(parts)
