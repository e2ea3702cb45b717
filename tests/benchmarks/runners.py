"""Ready models, ours and the peers', each in a process of its own, to be run when it is its turn.

`python -m benchmarks.runners INPUT OUTPUT ENGINE PATH THREADS [BATCH]` loads a model, runs it
once on the array in INPUT, writes what it gives to OUTPUT, and then answers each line that it
reads with the seconds of one more run. One process for each, since engines that share one disturb
each other: by spinning threads, and by where in memory their weights come to lie.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Engine", "RunningModel", "load_official"]

Array: TypeAlias = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Engine:
    """What runs a model, and how.

    Attributes:
        name: a key of `_ENGINES`.
        path: the model, in the format of that engine; `torch` makes its own.
        threads: how many it may use.
        batch: the value of the symbol B, None to leave it free. For tract alone.
    """

    name: str
    path: Path
    threads: int = 1
    batch: int | None = None


class RunningModel:
    """A model in a process of its own.

    Attributes:
        output: what it gave for the input.
    """

    output: Array

    def __init__(self, engine: Engine, input_: Array, scratch: Path) -> None:
        question, answer = scratch / "input.npy", scratch / "output.npy"
        np.save(question, input_)
        what = [question, answer, engine.name, engine.path, engine.threads]
        what += [] if engine.batch is None else [engine.batch]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runners", *map(str, what)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer()
        self.output = np.load(answer)

    def __enter__(self) -> RunningModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self) -> float:
        """Run it once more; returns how many seconds that took."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r}: ended with {self._process.wait()}")
        return line


def _torchtract(path: Path, threads: int, batch: int | None = None) -> Run:
    import torchtract

    model = torchtract.load(path)
    runnable: Run = (model if batch is None else model.set(B=batch)).compile(threads=threads)
    return runnable


def load_official(path: Path) -> Any:
    """An archive in the official wheel, to make one runnable of."""
    import tract

    return tract.nnef().with_tract_extra().with_tract_transformers().load(path)


def _official_tract(path: Path, threads: int, batch: int | None = None) -> Run:
    import tract

    assert threads == 1  # it has no other way
    model = load_official(path)
    if batch is not None:
        model.transform(tract.SetSymbols({"B": batch}))
    runnable = model.into_runnable()

    def run(x: Array) -> Array:
        output: Array = runnable.run([x])[0].to_numpy()
        return output

    return run


def _onnxruntime(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(x: Array) -> Array:
        output: Array = session.run(None, {name: x})[0]
        return output

    return run


def _torch(_: Path, threads: int) -> Run:
    import torch

    from benchmarks.models import seeded_vit

    torch.set_num_threads(threads)
    model = seeded_vit()

    def run(x: Array) -> Array:
        with torch.inference_mode():
            output: Array = model(torch.from_numpy(x)).numpy()
        return output

    return run


_ENGINES: dict[str, Callable[..., Run]] = {
    "torchtract": _torchtract,
    "tract": _official_tract,
    "onnxruntime": _onnxruntime,
    "torch": _torch,
}


def _main(input_: str, output: str, engine: str, path: str, *numbers: str) -> None:
    run = _ENGINES[engine](Path(path), *map(int, numbers))
    x = np.load(input_)
    np.save(output, run(x))
    print("ready", flush=True)  # noqa: T201
    for _ in sys.stdin:
        started = time.perf_counter()
        run(x)
        print(time.perf_counter() - started, flush=True)  # noqa: T201


if __name__ == "__main__":
    _main(*sys.argv[1:])
