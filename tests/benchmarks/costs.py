"""What an export costs, made in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Cost", "cost_of", "print_cost"]


@dataclass(frozen=True)
class Cost:
    """What an export took.

    Attributes:
        seconds: of the call, without imports and without making the model.
        peak_mb: largest resident memory of its process, in 10^6 bytes.
        added_mb: by how much the call raised that.
    """

    seconds: float
    peak_mb: float
    added_mb: float


def cost_of(module: str, *arguments: object, packages: Path | None = None) -> Cost:
    """Run `python -m module arguments`, which prints a cost last.

    Args:
        module: of the tests.
        arguments: of its command line.
        packages: a folder whose packages come before those of the environment.
    """
    environment = dict(os.environ)
    if packages is not None:
        paths = (str(packages), environment.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    process = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env=environment,
    )
    return Cost(**json.loads(process.stdout.splitlines()[-1]))


def print_cost(call: Callable[[], object]) -> None:
    """Make a call, and print what it cost as JSON."""
    before_mb = _peak_mb()
    started = time.perf_counter()
    call()
    seconds = time.perf_counter() - started
    peak_mb = _peak_mb()
    print(json.dumps(asdict(Cost(seconds, peak_mb, peak_mb - before_mb))))  # noqa: T201


def _peak_mb() -> float:
    if sys.platform == "linux":
        # A new process inherits its parent's ru_maxrss, but not this.
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS
