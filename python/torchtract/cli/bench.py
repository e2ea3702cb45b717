"""``torchtract bench``: how long a run takes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Annotated

import typer

from torchtract.cli.arrays import random_inputs, read_npz
from torchtract.cli.options import (
    AsJson,
    Debug,
    InputPath,
    ModelPath,
    Settings,
    Threads,
    open_model,
)
from torchtract.cli.output import brief_errors, doing, print_json, show
from torchtract.runtime.tables import Table

__all__ = ["bench"]

SECONDS = 2.0
"""How long to measure."""
_FEWEST_RUNS, _MOST_RUNS = 5, 100_000


def bench(
    path: ModelPath,
    settings: Settings = None,
    input_path: InputPath = None,
    threads: Threads = 1,
    runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How many runs. Without: what 2 seconds allow, at least 5.",
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure how long a run takes.

    Shown are the minimum, median and maximum of several runs, after one that does not count.
    """
    with brief_errors(debug):
        model = open_model(path, settings)
        inputs = read_npz(input_path) if input_path else random_inputs(model)
        with doing("Compiling"):
            runnable = model.compile(threads=threads)
        with doing("Measuring"):
            runnable.run(inputs)  # refuses what doesn't fit, and pays for cold caches
            args = [inputs[fact.name] for fact in runnable.inputs]
            seconds = _measure(lambda: runnable(*args), runs)
        found = {
            "minimum": min(seconds),
            "median": statistics.median(seconds),
            "maximum": max(seconds),
        }
        if as_json:
            print_json({"runs": len(seconds), "threads": threads, **found})
        else:
            show(_table(found, len(seconds), threads))


def _measure(call: Callable[[], object], runs: int | None) -> list[float]:
    """Seconds that each of several calls takes."""
    seconds: list[float] = []
    end = perf_counter() + SECONDS
    fewest, most = (_FEWEST_RUNS, _MOST_RUNS) if runs is None else (runs, runs)
    while len(seconds) < fewest or (len(seconds) < most and perf_counter() < end):
        started = perf_counter()
        call()
        seconds.append(perf_counter() - started)
    return seconds


def _table(found: dict[str, float], runs: int, threads: int) -> Table:
    title = f"{runs} run{'s' * (runs > 1)}, {threads} thread{'s' * (threads > 1)}"
    unit, factor = ("ms", 1e3) if found["minimum"] >= 1e-3 else ("us", 1e6)
    rows = tuple((name, f"{seconds * factor:.2f}") for name, seconds in found.items())
    return Table(title, ("", f">{unit}"), rows)
