"""Ready models, ours and the peers', as functions from an array to what a run gives there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import tract

import torchtract as tt

__all__ = ["Runner", "load_official", "official_tract", "onnx_runtime", "pytorch", "torchtract"]

Array: TypeAlias = npt.NDArray[np.float32]
Runner: TypeAlias = Callable[[Array], Array]


def torchtract(path: Path, threads: int = 1) -> Runner:
    """Ours: an archive, loaded and compiled."""
    runnable: Runner = tt.load(path).compile(threads=threads)
    return runnable


def load_official(path: Path) -> Any:
    """An archive in the official wheel, to make one runnable of."""
    return tract.nnef().with_tract_extra().with_tract_transformers().load(path)


def official_tract(path: Path) -> Runner:
    """The official wheel: an archive, loaded and optimised. One thread; it has no other way."""
    runnable = load_official(path).into_runnable()

    def run(x: Array) -> Array:
        output: Array = runnable.run([x])[0].to_numpy()
        return output

    return run


def onnx_runtime(path: Path, threads: int) -> Runner:
    """onnxruntime: an ONNX file with one input."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(x: Array) -> Array:
        output: Array = session.run(None, {name: x})[0]
        return output

    return run


def pytorch(model: torch.nn.Module, threads: int) -> Runner:
    """PyTorch, eager."""

    def run(x: Array) -> Array:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        with torch.inference_mode():
            output: Array = model(torch.from_numpy(x)).numpy()
        torch.set_num_threads(before)
        return output

    return run
