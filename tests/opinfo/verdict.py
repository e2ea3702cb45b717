"""What becomes of one sample of an operator: right, refused, wrong, or a failure of ours."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import torch
from torch.utils import _pytree as pytree

from opinfo.samples import Sample
from torchtract import load
from torchtract.errors import CaptureError, EngineError, UnsupportedOpError

__all__ = ["Export", "Kind", "Verdict", "expected_of", "judge"]

#: Writes a module with these inputs, named x0, x1 ..., to a path.
Export = Callable[[torch.nn.Module, tuple[torch.Tensor, ...], Path], None]

# Sums are taken in another order than PyTorch's. Whole numbers and truth values are exact.
_TOLERANCES = {
    np.dtype("float16"): (1e-3, 1e-3),
    np.dtype("float32"): (1e-4, 1e-5),
    np.dtype("float64"): (1e-7, 1e-7),
    np.dtype("complex64"): (1e-4, 1e-5),
    np.dtype("complex128"): (1e-7, 1e-7),
}

_ROUNDED = (torch.float16, torch.float32)

#: Functions whose digits in float64 PyTorch itself misses, in as many digits as it takes.
_MORE_EXACT: dict[str, Callable[[float], Any]] = {
    "special.bessel_j0": lambda x: mpmath.besselj(0, x),
    "special.bessel_y1": lambda x: mpmath.bessely(1, x),
}

#: Operators that promise a shape and a type and no values.
_UNSPECIFIED = frozenset(
    {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
)

#: Chains of products of half-precision tensors, which PyTorch rounds one by one and in its own
#: order: an element that is a small difference of large terms is as exact as these are.
_CHAINS = frozenset({"nn.functional.multi_head_attention_forward", "grid_sampler_3d"})

#: Operators that give places of elements, any of equal ones.
_PLACES = {"sort": 1, "argsort": 0, "mode": 1}


class Kind(str, Enum):
    """What became of a sample."""

    RIGHT = "right"
    REFUSED = "refused"
    WRONG = "wrong"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """What became of a sample, why if it isn't right, and how long its export took."""

    kind: Kind
    reason: str = ""
    seconds: float = 0.0


def expected_of(sample: Sample) -> list[torch.Tensor]:
    """What PyTorch gives: its tensors. None if it refuses, or gives numbers."""
    return _outputs(sample.module, [x.clone() for x in sample.tensors])


def _outputs(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    try:
        with torch.no_grad():
            given = module(*inputs)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError):
        return []
    leaves = [x for x in pytree.tree_leaves(given) if isinstance(x, torch.Tensor)]
    return [x.detach() for x in leaves]


def _exact(sample: Sample) -> list[torch.Tensor]:
    """What a sample would give without rounding, as far as PyTorch can tell."""
    wide = [x.double() if x.dtype in _ROUNDED else x.clone() for x in sample.tensors]
    return _outputs(sample.module, wide)


def _more_exact(name: str, x: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """What a function of single numbers gives where PyTorch gives a finite one."""
    pairs = zip(x.flatten().tolist(), expected.flatten().tolist(), strict=True)
    exact = [float(_MORE_EXACT[name](x)) if math.isfinite(y) else y for x, y in pairs]
    return torch.tensor(exact, dtype=expected.dtype).view_as(expected)


def judge(name: str, sample: Sample, expected: Sequence[torch.Tensor], export: Export) -> Verdict:
    """Export a sample, load it, run it and compare.

    Args:
        name: of its operator.
        sample: the call.
        expected: what PyTorch gives.
        export: the exporter.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.nnef.tgz"
        started = time.perf_counter()
        try:
            export(sample.module, sample.tensors, path)
        except (CaptureError, UnsupportedOpError) as refusal:
            return Verdict(Kind.REFUSED, f"{type(refusal).__name__}: {refusal}")
        except Exception as error:  # noqa: BLE001  (this is what the tests look for)
            return Verdict(Kind.FAILED, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - started
        try:
            runnable = load(path.read_bytes()).compile()
            inputs = {f"x{i}": x for i, x in enumerate(sample.tensors)}
            given = list(runnable.run(inputs).values())
        except EngineError as error:
            return Verdict(Kind.FAILED, f"{type(error).__name__}: {error}", seconds)
    if name in _PLACES and sample.tensors[0].dim() == 1:
        given, expected = _at_places(sample.tensors[0], _PLACES[name], given, expected)
    if name in _MORE_EXACT and expected[0].dtype == torch.float64:
        expected = [_more_exact(name, sample.tensors[0], expected[0])]
    difference = _difference(name, given, expected)
    if difference and any(x.dtype in _ROUNDED for x in expected):
        # PyTorch may round at each step, we once, as in matrix_exp; what is exact is right.
        exact = [
            x.to(e.dtype) if x.dtype == torch.float64 else x
            for x, e in zip(_exact(sample), expected, strict=False)
        ]
        difference = _difference(name, given, exact) and difference
    return Verdict(Kind.WRONG if difference else Kind.RIGHT, difference, seconds)


def _difference(
    name: str,
    given: Sequence[npt.NDArray[Any]],
    expected: Sequence[torch.Tensor],
) -> str:
    if len(given) != len(expected):
        return f"{len(given)} outputs for {len(expected)}"
    for number, (ours, tensor) in enumerate(zip(given, expected, strict=True)):
        theirs = _array(tensor)
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            return f"{ours.dtype}{ours.shape} for {theirs.dtype}{theirs.shape}"
        if name.split(".")[0] in _UNSPECIFIED:
            continue
        rtol, atol = _TOLERANCES.get(ours.dtype, (0.0, 0.0))
        if name in _CHAINS and ours.dtype == np.float16:
            atol = 2 * atol * float(np.abs(theirs).max(initial=1))
        if not np.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True):
            return f"output {number} differs: {_few(ours)} for {_few(theirs)}"
    return ""


def _at_places(
    x: torch.Tensor,
    output: int,
    given: Sequence[npt.NDArray[Any]],
    expected: Sequence[torch.Tensor],
) -> tuple[list[npt.NDArray[Any]], list[torch.Tensor]]:
    """The outputs with the elements for their places."""
    ours, theirs = list(given), list(expected)
    ours[output] = _array(x)[given[output]]
    theirs[output] = x[expected[output]]
    return ours, theirs


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    tensor = tensor.resolve_conj().resolve_neg()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _few(array: npt.NDArray[Any]) -> str:
    return np.array2string(array.ravel()[:6], precision=6)
