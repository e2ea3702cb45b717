"""One output of tract beside PyTorch's, element by element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["LEVELS", "Comparison", "Tolerance", "compare", "fact_text", "tolerance_for"]


@dataclass(frozen=True)
class Tolerance:
    """An element is right where `abs(tract - torch) <= atol + rtol * abs(torch)`.

    Attributes:
        outliers: share of elements that may be outside.
    """

    atol: float
    rtol: float
    outliers: float = 0.0


#: tract's levels (`Approximation` of tract-data), for types other than float16.
LEVELS = {
    "exact": Tolerance(0.0, 0.0),
    "close": Tolerance(1e-7, 1e-7),
    "approximate": Tolerance(1e-4, 5e-4),
    "very": Tolerance(5e-2, 1e-2),
    "super": Tolerance(0.1, 0.05, 0.0001),
    "ultra": Tolerance(0.2, 0.1, 0.0005),
}
_HALF_LEVELS = {"close": Tolerance(1e-3, 1e-3), "approximate": Tolerance(1e-3, 5e-3)}


def tolerance_for(level: str, dtype: np.dtype) -> Tolerance:
    """The tolerance of a level for an element type. Integers and booleans are compared exactly."""
    if dtype.kind in "biu":
        return LEVELS["exact"]
    return (_HALF_LEVELS if dtype == np.float16 else {}).get(level, LEVELS[level])


@dataclass(frozen=True)
class Comparison:
    """How far an output of tract is from PyTorch's.

    Attributes:
        ok: within the tolerance.
        max_abs: largest absolute difference.
        max_rel: largest difference relative to PyTorch's value.
        outliers: share of elements outside of the tolerance.
        index: position of the worst element, () for one without elements.
        expected: PyTorch's value there.
        actual: tract's value there.
    """

    ok: bool
    max_abs: float
    max_rel: float
    outliers: float
    index: tuple[int, ...]
    expected: object
    actual: object


def compare(actual: np.ndarray, expected: np.ndarray, tolerance: Tolerance) -> Comparison:
    """Compare two arrays of one shape and type.

    Two NaNs are equal, and so are two infinities of one sign; a NaN or an infinity beside
    anything else is infinitely far away. Of complex numbers this holds for each part.
    """
    if expected.size == 0:
        return Comparison(True, 0.0, 0.0, 0.0, (), None, None)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        difference = _distance(actual, expected)
        magnitude = np.abs(expected.astype(_wide(expected)))
        relative = np.where(difference == 0, 0.0, difference / magnitude)
        allowed = tolerance.atol + tolerance.rtol * np.where(np.isfinite(magnitude), magnitude, 0.0)
        excess = difference - allowed
    worst = np.unravel_index(int(np.argmax(excess)), expected.shape)
    outliers = float(np.mean(excess > 0))
    return Comparison(
        ok=outliers <= tolerance.outliers,
        max_abs=float(difference.max()),
        max_rel=float(relative.max()),
        outliers=outliers,
        index=tuple(int(i) for i in worst),
        expected=expected[worst].item() if hasattr(expected[worst], "item") else expected[worst],
        actual=actual[worst].item() if hasattr(actual[worst], "item") else actual[worst],
    )


def _distance(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute differences, infinite where one is no finite number and the other is not the same.

    Parts of complex numbers are taken one by one, so that an infinite part hides nothing.
    """
    if expected.dtype.kind == "c":
        real = _distance(actual.real, expected.real)
        return np.asarray(np.hypot(real, _distance(actual.imag, expected.imag)))
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    difference = np.asarray(np.abs(a - e))  # an array for scalars too
    same = (actual == expected) | (np.isnan(a) & np.isnan(e))
    difference[same] = 0.0
    difference[np.isnan(difference)] = np.inf
    difference[~same & (difference == 0)] = 1.0  # large integers that float64 can't tell apart
    return difference


def _wide(array: np.ndarray) -> type[np.generic]:
    return np.complex128 if array.dtype.kind == "c" else np.float64


def fact_text(array: np.ndarray) -> str:
    """Element type and shape, as in `float32[2, 3]`."""
    return f"{array.dtype}{list(array.shape)}"
