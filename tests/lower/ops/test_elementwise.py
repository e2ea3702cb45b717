"""Elementwise functions give PyTorch's numbers, types and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import HALF, integers, uniform

INTEGERS = [torch.int64, torch.int32, torch.uint8]


#: Function, and the range of its arguments.
FLOAT_FUNCTIONS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], float, float]] = {
    "abs": (torch.abs, -3, 3),
    "acos": (torch.acos, -1, 1),
    "acosh": (torch.acosh, 1, 9),
    "asin": (torch.asin, -1, 1),
    "asinh": (torch.asinh, -9, 9),
    "atan": (torch.atan, -9, 9),
    "atanh": (torch.atanh, -0.9, 0.9),
    "ceil": (torch.ceil, -3, 3),
    "cos": (torch.cos, -9, 9),
    "cosh": (torch.cosh, -3, 3),
    "erf": (torch.erf, -3, 3),
    "erfc": (torch.erfc, -3, 3),
    "exp": (torch.exp, -3, 3),
    "exp2": (torch.exp2, -3, 3),
    "expm1": (torch.expm1, -3, 3),
    "floor": (torch.floor, -3, 3),
    "frac": (torch.frac, -3, 3),
    "log": (torch.log, 0.01, 9),
    "log10": (torch.log10, 0.01, 9),
    "log1p": (torch.log1p, -0.9, 9),
    "log2": (torch.log2, 0.01, 9),
    "neg": (torch.neg, -3, 3),
    "positive": (torch.positive, -3, 3),
    "reciprocal": (torch.reciprocal, 0.2, 3),
    "round": (torch.round, -9, 9),
    "rsqrt": (torch.rsqrt, 0.1, 9),
    "sign": (torch.sign, -3, 3),
    "sin": (torch.sin, -9, 9),
    "sinh": (torch.sinh, -3, 3),
    "sqrt": (torch.sqrt, 0, 9),
    "square": (torch.square, -3, 3),
    "tan": (torch.tan, -1, 1),
    "tanh": (torch.tanh, -3, 3),
    "trunc": (torch.trunc, -3, 3),
}


@pytest.mark.parametrize("name", FLOAT_FUNCTIONS)
def test_function_of_floats(name: str) -> None:
    function, low, high = FLOAT_FUNCTIONS[name]
    x = uniform(3, 5, low=low, high=high)
    export_and_compare(function, x, dynamic_axes={"x0": {0: "B"}}, sizes=[{"B": 1}, {"B": 7}])


def in_one_model(names: Iterable[str], dtype: torch.dtype, **tolerances: Any) -> None:
    """Export functions together, each of an input of its own, and compare."""
    cases = [FLOAT_FUNCTIONS[name] for name in names]
    inputs = [uniform(3, 5, low=low, high=high).to(dtype) for _, low, high in cases]
    export_and_compare(
        lambda *xs: tuple(case[0](x) for case, x in zip(cases, xs, strict=True)),
        *inputs,
        **tolerances,
    )


def test_functions_of_half_precision() -> None:
    in_one_model(FLOAT_FUNCTIONS, torch.float16, **HALF)


def test_functions_of_float64() -> None:
    in_one_model(FLOAT_FUNCTIONS, torch.float64, rtol=1e-9, atol=1e-12)


def test_round_of_float64() -> None:
    halves = torch.arange(-5, 6, dtype=torch.float64) / 2
    far = [math.inf, -math.inf, math.nan, 2.0**52 + 1, 0.49999999999999994, -0.0, 1e300]
    x = torch.cat([halves, torch.tensor(far, dtype=torch.float64)])
    export_and_compare(torch.round, x, atol=0)
    export_and_compare(lambda x: torch.signbit(torch.round(x)), x[:-7])


def test_large_arguments_of_inverse_hyperbolic_functions() -> None:
    x = torch.tensor([3e38, 1e20, math.inf, 1.0])
    export_and_compare(lambda x: (torch.acosh(x), torch.asinh(x), torch.asinh(-x)), x)


def test_sign_of_nan() -> None:
    x = torch.tensor([math.nan, -0.0, 3.0, -math.inf])
    export_and_compare(lambda x: (torch.sign(x), torch.sgn(x)), x)


EDGES = [0.0, -0.0, 3.0, -4.0, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_hypot(dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    x = torch.tensor([*EDGES, limits.max / 2, limits.tiny], dtype=dtype)
    axes, sizes = {"x1": {0: "S"}}, [{"S": 1}, {"S": 12}]
    export_and_compare(torch.hypot, x, x[:, None] * 0.75, dynamic_axes=axes, sizes=sizes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64])
def test_signs_and_angles(dtype: torch.dtype) -> None:
    numbers = EDGES if dtype.is_floating_point else EDGES[:4]
    x, signs = torch.tensor(numbers).to(dtype), torch.tensor(EDGES[:6])
    export_and_compare(lambda x, y: (torch.copysign(x, y), torch.angle(x)), x, signs[:, None])
    export_and_compare(lambda x: (torch.copysign(x, -2), torch.copysign(x, 0.0)), x)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_functions_of_integers_keep_the_type(dtype: torch.dtype) -> None:
    names = ["abs", "ceil", "floor", "neg", "round", "sign", "square", "trunc"]
    functions = [FLOAT_FUNCTIONS[name][0] for name in names]
    x = integers(4, 5, low=0 if dtype == torch.uint8 else -99, high=99, dtype=dtype)
    export_and_compare(lambda x: tuple(f(x) for f in functions), x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_float_functions_of_integers(dtype: torch.dtype) -> None:
    names = ["cos", "erf", "erfc", "exp2", "expm1", "log1p", "log2", "sqrt", "tanh"]
    functions = [FLOAT_FUNCTIONS[name][0] for name in names]
    x = integers(4, 5, low=0, high=1 if dtype == torch.bool else 9, dtype=dtype)
    export_and_compare(lambda x: tuple(f(x) for f in functions), x)


def test_rank_zero_and_no_elements() -> None:
    export_and_compare(lambda x: torch.exp(x) + x, torch.tensor(0.7))
    export_and_compare(lambda x: torch.exp(x) + x, torch.zeros(0, 3))


def test_round_takes_halves_to_even_numbers() -> None:
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 2.4999])
    export_and_compare(torch.round, x, rtol=0, atol=0)


@pytest.mark.parametrize("decimals", [2, -1, 0])
def test_round_to_decimals(decimals: int) -> None:
    x = uniform(40, low=-99, high=99)
    export_and_compare(lambda x: torch.round(x, decimals=decimals), x)


@pytest.mark.parametrize("function", [torch.log1p, torch.expm1])
def test_digits_of_small_arguments_are_kept(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    x = torch.tensor([1e-30, -1e-12, 3e-8, -2e-6, 1e-4, -0.01, 0.3])
    export_and_compare(function, x, rtol=1e-6, atol=0)


@pytest.mark.parametrize("function", [torch.log1p, torch.expm1])
def test_ends_of_the_range(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    export_and_compare(function, torch.tensor([math.inf, -1.0, 1e30, 80.0, math.nan]))


@pytest.mark.parametrize(("function", "base"), [(torch.log2, 2.0), (torch.log10, 10.0)])
def test_logarithm_of_a_power_is_whole(
    function: Callable[[torch.Tensor], torch.Tensor], base: float
) -> None:
    x = base ** torch.arange(-10.0, 20.0)
    export_and_compare(lambda x: function(x).floor(), x, rtol=0, atol=0)


# Of two tensors.

SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((2, 3, 4), ()), ((), (2, 3))]


def arithmetic(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x + y, x - y, x * y, x / y, torch.atan2(x, y)


@pytest.mark.parametrize("shapes", SHAPES)
def test_broadcasting(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    export_and_compare(arithmetic, *(uniform(*s, seed=i) for i, s in enumerate(shapes)))


def test_broadcasting_over_symbols() -> None:
    x, y = uniform(3, 1, 5, seed=1), uniform(4, 5, seed=2)
    axes = {"x0": {0: "B"}, "x1": {0: "S"}}
    sizes = [{"B": 1, "S": 1}, {"B": 5, "S": 2}]
    export_and_compare(arithmetic, x, y, dynamic_axes=axes, sizes=sizes)


PAIRS = [
    (torch.float32, torch.int64),
    (torch.float16, torch.float32),
    (torch.int32, torch.int64),
    (torch.uint8, torch.int32),
    (torch.bool, torch.int64),
    (torch.bool, torch.float32),
    (torch.uint8, torch.float16),
]


@pytest.mark.parametrize("dtypes", PAIRS)
def test_promotion(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    x, y = (
        integers(3, 4, low=0, high=1 if d == torch.bool else 9, dtype=d, seed=i)
        for i, d in enumerate(dtypes)
    )
    half: dict[str, Any] = HALF if torch.float16 in dtypes else {}
    export_and_compare(lambda x, y: (x + y, x * y, x / (y + 1)), x, y, **half)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int32])
def test_numbers_as_operands(dtype: torch.dtype) -> None:
    x = integers(3, 5, low=-9, high=9, dtype=dtype)
    export_and_compare(
        lambda x: (
            *(x + 2, x + 2.5, 3 - x, x * 1.5, 2 * x, x / 7, 7 / (x + 20)),
            *(torch.add(x, x, alpha=3), torch.sub(x, 2, alpha=3), torch.rsub(x, 2, alpha=3)),
            *(x * x.shape[0] + x.shape[0], x.shape[0] - x, x / x.shape[0]),
        ),
        x,
        dynamic_axes={"x0": {0: "S"}},
        sizes=[{"S": 1}, {"S": 4}],
    )


def test_scalar_tensor_does_not_widen_the_type() -> None:
    x = uniform(3, 4).half()
    export_and_compare(torch.mul, x, torch.tensor(1.7), **HALF)


#: Calls with numbers that half precision rounds: products take them as they are, sums rounded.
NUMBERS: dict[str, Callable[..., Any]] = {
    "mul": lambda x: (x * 6.2831853, 0.3 * x, x * torch.tensor(6.2831853)),
    "add": lambda x: (x + 6.2831853, 0.1 - x, x + torch.tensor(6.2831853)),
    "alpha": lambda x: (torch.add(x, x, alpha=0.3), torch.sub(x, x, alpha=0.7)),
    "rsub": lambda x: torch.rsub(x, x, alpha=0.3),
    "div": lambda x: (6.2831853 / x, x / 6.2831853),
    "floor_divide": lambda x: (x // 0.1, torch.div(x, 0.1, rounding_mode="trunc")),
    "remainder": lambda x: (x % 6.2831853, torch.fmod(x, 6.2831853)),
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x - 3, 0.3),
    "hypot": lambda x: torch.hypot(x, torch.tensor(6.2831853)),
    "clamp": lambda x: x.clamp(0.1, 6.2831853),
    "compare": lambda x: (x < 0.1, x == 0.1),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_in_half_precision(name: str) -> None:
    x = (uniform(1024).abs() * 9 + 1e-3).half()  # whole vectors: PyTorch rounds rests otherwise
    x[:9] = 0.1
    export_and_compare(NUMBERS[name], x, rtol=0, atol=0)


def test_bool_arithmetic() -> None:
    x, y = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    export_and_compare(lambda x, y: (x + y, x * y, torch.add(x, y, alpha=False)), x, y)


def test_integers_beyond_float_precision() -> None:
    x = torch.tensor([2**53 + 1, -(2**62), 2**31, 7])
    export_and_compare(lambda x: (x + 1, x * 3, x - 2**40, -x), x)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_times_themselves(dtype: torch.dtype) -> None:
    x = integers(4, 5, low=0, high=99, dtype=dtype)
    export_and_compare(lambda x: (x * x, x**2, x.square()), x)


def test_constant_powers() -> None:
    exponents = [0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.7, 2.0]
    export_and_compare(lambda x: tuple(x**e for e in exponents), uniform(3, 5, low=0.1))
    export_and_compare(lambda x: (x**3, x**2, x**-1.0), uniform(3, 5))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_constant_powers_of_integers(dtype: torch.dtype) -> None:
    x = integers(4, 5, low=0 if dtype == torch.uint8 else -9, high=9, dtype=dtype)
    export_and_compare(lambda x: tuple(x**e for e in [0, 1, 2, 3, 5, 0.5]), x.abs())
    export_and_compare(lambda x: tuple(x**e for e in [0, 1, 2, 3, 5, 2.0]), x)


def test_powers_of_tensors() -> None:
    x, y = uniform(3, 4, low=0.1), uniform(3, 4, seed=1)
    export_and_compare(lambda x, y: (x**y, 2**y, 1.5**y), x, y)
    export_and_compare(lambda x, y: x**y, x.half(), y.half(), **HALF)


def test_powers_of_integer_tensors() -> None:
    x = torch.tensor([-3, -2, -1, -1, -1, 1, 1, 2, 5])
    y = torch.tensor([3, 2, -3, -2, 0, -5, 4, -1, -2])
    export_and_compare(lambda x, y: x**y, x, y)
    export_and_compare(lambda y: 2**y, torch.tensor([0, 1, 2, 30]))


def test_atan2_in_every_quadrant() -> None:
    steps = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    export_and_compare(torch.atan2, y.contiguous(), x.contiguous())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_of_three_tensors(dtype: torch.dtype) -> None:
    x, y, z = (uniform(3, 4, low=0.5, seed=i).to(dtype) for i in range(3))
    export_and_compare(
        lambda x, y, z: (
            torch.addcmul(x, y, z, value=0.5),
            torch.addcdiv(x, y, z, value=2),
            torch.lerp(x, y, z),
            torch.lerp(x, y, 0.3),
        ),
        x,
        y,
        z,
        **(HALF if dtype == torch.float16 else {}),
    )


def test_addcmul_of_integers() -> None:
    x, y, z = (integers(5, low=-9, high=9, dtype=torch.int64, seed=i) for i in range(3))
    export_and_compare(lambda x, y, z: torch.addcmul(x, y, z, value=3), x, y, z)
