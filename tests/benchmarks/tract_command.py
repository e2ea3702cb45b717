"""tract's own command line, `tract FILE -O --llm llm-bench`, and the same work by us."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from torchtract.llm import CausalModel

__all__ = ["NEW", "PROMPT", "TRACT", "Pace", "llm_bench", "pace_of"]

#: `make bench` installs it there.
TRACT = Path(__file__).parents[2] / "build" / "peers" / "tract-cli" / "bin" / "tract"

# As llm-bench has them, after llama.cpp's command of that name.
PROMPT = 512
NEW = 128


@dataclass(frozen=True)
class Pace:
    """How fast a text is read.

    Attributes:
        prompt: seconds that a text of `PROMPT` tokens takes at once.
        token: seconds that each of the first `NEW` tokens takes alone, in the mean.
    """

    prompt: float
    token: float


def llm_bench(file: Path, threads: int) -> Pace:
    """The pace that tract's command finds, in a process that loads and compiles the file itself.

    Args:
        file: of a causal language model.
        threads: for one, tract takes none beside its own.
    """
    options = ["-O", "--llm", *(["--threads", str(threads)] if threads > 1 else [])]
    process = subprocess.run(
        [TRACT, file, *options, "llm-bench", "--warmup-loops", "1"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    a_second = dict(re.findall(r"^(PP|TG)\d+: ([\d.]+) tokens/sec$", process.stdout, re.MULTILINE))
    return Pace(prompt=PROMPT / float(a_second["PP"]), token=1 / float(a_second["TG"]))


def pace_of(model: CausalModel) -> Pace:
    """The pace of a model loaded here, measured in the same way: after a text that warms it."""
    tokens = np.arange(3, 3 + PROMPT)
    model.session().push(tokens)
    started = perf_counter()
    model.session().push(tokens)
    prompt = perf_counter() - started
    text = model.session()
    started = perf_counter()
    for token in tokens[:NEW, None]:
        text.push(token)
    return Pace(prompt=prompt, token=(perf_counter() - started) / NEW)
