"""``torchtract llm bench``: how fast a model reads and generates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer

from torchtract.cli.llm.options import FolderPath
from torchtract.cli.options import AsJson, Debug, Threads
from torchtract.cli.output import brief_errors, doing, print_json, show
from torchtract.errors import GenerationError
from torchtract.llm import CausalModel, EncoderDecoder, LanguageModel, Timings, load
from torchtract.llm.folder import find_model
from torchtract.llm.settings import Settings
from torchtract.runtime.tables import Table

__all__ = ["bench"]


def bench(
    path: FolderPath,
    prompt_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="How long the prompt is.")
    ] = 512,
    new_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many tokens come one by one behind it.")
    ] = 128,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="How often.")] = 5,
    threads: Threads = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure how fast a model reads a prompt and generates.

    The prompt is of random tokens, and the end of text does not count. Shown are medians of
    several rounds, after one that does not count. The first new token comes with the prompt.
    """
    with brief_errors(debug):
        started = perf_counter()
        with doing(f"Loading {path}"):
            model = load(find_model(path), threads=threads).model
        loading = perf_counter() - started
        _check_lengths(model, prompt_tokens, new_tokens)
        # No text ends early, and none is remembered.
        lm = LanguageModel(model, settings=Settings(eos_token_ids=()), prompt_cache=0)
        with doing("Measuring"):
            timings = _measure(lm, prompt_tokens, new_tokens, rounds)
        found = _Found.of(timings, loading, threads)
        if as_json:
            print_json(found.data())
        else:
            show(*found.shown())


def _check_lengths(
    model: CausalModel | EncoderDecoder, prompt_tokens: int, new_tokens: int
) -> None:
    """Refuses more than the model reads or generates, one more token than is measured."""
    longest = model.max_length
    if not isinstance(model, EncoderDecoder):
        if prompt_tokens + new_tokens > longest - 1:
            raise GenerationError(
                f"--prompt-tokens {prompt_tokens} --new-tokens {new_tokens}: are refused, since "
                f"together they may be {longest - 1} at most: the model's longest text has "
                f"{longest} tokens, of which one comes with the prompt; measure fewer."
            )
    elif prompt_tokens > model.max_prompt_length:
        raise GenerationError(
            f"--prompt-tokens {prompt_tokens}: is refused, since the encoder reads "
            f"{model.max_prompt_length} tokens at most; measure fewer."
        )
    elif new_tokens > longest - 2:
        raise GenerationError(
            f"--new-tokens {new_tokens}: is refused, since it may be {longest - 2} at most: the "
            f"decoder's longest text has {longest} tokens, of which one begins it and one comes "
            "with the prompt; measure fewer."
        )


def _measure(lm: LanguageModel, prompt_tokens: int, new_tokens: int, rounds: int) -> list[Timings]:
    prompt = np.random.default_rng(0).integers(0, lm.vocab_size, prompt_tokens)
    lm.generate(prompt, max_new_tokens=2, temperature=0)
    return [
        lm.generate(prompt, max_new_tokens=new_tokens + 1, temperature=0).timings
        for _ in range(rounds)
    ]


@dataclass(frozen=True)
class _Found:
    """What was measured, in tokens, tokens per second, seconds and bytes."""

    prompt_tokens: int
    new_tokens: int
    prompt: Sequence[float]
    generation: Sequence[float]
    loading: float
    peak_memory: int | None
    threads: int

    @classmethod
    def of(cls, timings: Sequence[Timings], loading: float, threads: int) -> _Found:
        last = timings[-1]
        return cls(
            prompt_tokens=last.prompt_tokens,
            new_tokens=last.generated_tokens,
            prompt=[each.prompt_tokens_per_second for each in timings],
            generation=[each.generated_tokens_per_second for each in timings],
            loading=loading,
            peak_memory=last.peak_memory,
            threads=threads,
        )

    def data(self) -> dict[str, Any]:
        return {
            "threads": self.threads,
            "rounds": len(self.prompt),
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "prompt_tokens_per_second": _summary(self.prompt),
            "generated_tokens_per_second": _summary(self.generation),
            "loading_seconds": self.loading,
            "peak_memory": self.peak_memory,
        }

    def shown(self) -> list[Table | str]:
        count, threads = len(self.prompt), self.threads
        title = f"{count} round{'s' * (count > 1)}, {threads} thread{'s' * (threads > 1)}"
        rows = (
            ("loading", "", "", f"{self.loading * 1e3:.0f}"),
            _row("prompt", self.prompt_tokens, self.prompt),
            _row("generation", self.new_tokens, self.generation),
        )
        table = Table(title, ("", ">tokens", ">tokens/s", ">ms"), rows)
        if self.peak_memory is None:
            return [table]
        return [table, f"memory: {self.peak_memory / 1e6:.0f} MB at most"]


def _row(name: str, tokens: int, speeds: Sequence[float]) -> tuple[str, str, str, str]:
    speed = statistics.median(speeds)
    return name, str(tokens), f"{speed:.2f}", f"{tokens / speed * 1e3:.1f}"


def _summary(speeds: Sequence[float]) -> dict[str, float]:
    return {
        "minimum": min(speeds),
        "median": statistics.median(speeds),
        "maximum": max(speeds),
    }
