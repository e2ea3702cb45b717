"""Functions and arithmetic of complex numbers, on branch cuts and at infinity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from harness import export, export_and_compare
from torchtract.errors import UnsupportedOpError

INF, NAN = float("inf"), float("nan")

#: Parts of numbers on the cuts, near and far from zero and one.
PARTS = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-6, -1e-6, 0.3, -0.7, 30.0, -30.0, 200.0, -200.0]

FUNCTIONS = [
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan"),
    *("asinh", "acosh", "atanh", "sigmoid", "abs", "angle", "sgn"),
]


def grid(parts: list[float], dtype: torch.dtype = torch.complex64) -> torch.Tensor:
    return torch.tensor([complex(a, b) for a in parts for b in parts], dtype=dtype)


def assert_same(actual: npt.NDArray[Any], expected: torch.Tensor, rtol: float, atol: float) -> None:
    """Equal in each part: a large one hides no difference of a small one."""
    reference = expected.resolve_conj().numpy()
    assert actual.dtype == reference.dtype
    for part in ("real", "imag"):
        ours, theirs = getattr(actual, part), getattr(reference, part)
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_functions(name: str, dtype: torch.dtype) -> None:
    function = getattr(torch, name)
    z = grid(PARTS, dtype)
    rtol, atol = (1e-5, 1e-30) if dtype == torch.complex64 else (1e-9, 1e-9)
    assert_same(export(function, z).compile()(z), function(z), rtol, atol)


@pytest.mark.parametrize("name", ["exp", "log", "abs", "angle", "reciprocal", "square", "rsqrt"])
def test_functions_of_what_is_not_finite(name: str) -> None:
    function = getattr(torch, name)
    z = grid([0.0, -0.0, 1.5, -1.5, INF, -INF, NAN])
    assert_same(export(function, z).compile()(z), function(z), 1e-5, 1e-6)


ARITHMETIC: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "number": lambda z: z * 2,
    "complex_number": lambda z: z * (2 - 1j),
    "imaginary_number": lambda z: z * 2j,
    "part": lambda z: z * z.real,
    "itself": lambda z: z * z,
    "halves": lambda z: z / 2,
    "quarter_turns": lambda z: z / 2j,
    "quotient": lambda z: z / z.flip(0),
    "by_part": lambda z: z / z.real,
    "by_zero": lambda z: z / 0,
    "from_one": lambda z: 1 / z,
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_with_signs_of_zeros_and_infinities(name: str) -> None:
    z = grid([0.0, -0.0, 1.5, -1.5, INF, -INF, NAN])
    actual, expected = export(ARITHMETIC[name], z).compile()(z), ARITHMETIC[name](z)
    assert_same(actual, expected, 1e-6, 0)
    for part in ("real", "imag"):
        ours, theirs = getattr(actual, part), getattr(expected.numpy(), part)
        numbers = ~np.isnan(theirs)
        np.testing.assert_array_equal(np.signbit(ours)[numbers], np.signbit(theirs)[numbers])


#: PyTorch multiplies what it adds by one, as a complex number, which makes infinities to NaN.
SUMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plus_one": lambda z: z + 1,
    "minus_one": lambda z: z - 1,
    "one_minus": lambda z: 1 - z,
    "plus_part": lambda z: z + z.real,
    "scaled": lambda z: torch.add(z, z.flip(0), alpha=3),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_with_signs_of_zeros(name: str) -> None:
    z = grid([0.0, -0.0, 1.5, -1.5])
    actual, expected = export(SUMS[name], z).compile()(z), SUMS[name](z)
    assert_same(actual, expected, 1e-6, 0)
    if "one" in name:
        np.testing.assert_array_equal(np.signbit(actual.imag), np.signbit(expected.numpy().imag))


POWERS = [0, 1, 2, 3, -1, -2, 0.5, -0.5, 2.5, 1 + 1j]


@pytest.mark.parametrize("exponent", POWERS, ids=str)
def test_powers(exponent: complex) -> None:
    z = grid([0.0, -0.0, 1.5, -0.7, 3.0])
    assert_same(export(lambda z: z**exponent, z).compile()(z), z**exponent, 1e-5, 1e-6)


def test_powers_of_tensors() -> None:
    z = grid([0.0, 1.5, -0.7])
    export_and_compare(torch.pow, z, z.flip(0))
    export_and_compare(lambda z: 2**z, z)


@pytest.mark.parametrize("name", ["logcumsumexp", "erf"])
def test_what_is_refused(name: str) -> None:
    z = grid([0.5, 1.5])
    with pytest.raises((UnsupportedOpError, RuntimeError), match=r"complex|not implemented"):
        export(lambda z: torch.logcumsumexp(z, 0) if name == "logcumsumexp" else torch.erf(z), z)
