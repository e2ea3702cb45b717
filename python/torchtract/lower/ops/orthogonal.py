"""Orthogonal polynomials, of degrees that are numbers or tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.checks import require
from torchtract.lower.float64 import equal, less, number, plus, times
from torchtract.lower.ops.elementwise import truncated
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, broadcast_shapes

aten = torch.ops.aten


def _overloads(name: str) -> Sequence[Any]:
    packet = getattr(aten, f"special_{name}")
    return packet.default, packet.n_scalar, packet.x_scalar


# Chebyshev's: cosines and sines of multiples of an angle whose cosine is x, or hyperbolic ones.


def _chebyshev(kind: str, shifted: bool) -> Callable[[Builder, Operand, Operand], Value]:
    def function(b: Builder, x: Operand, n: Operand) -> Value:
        x, n = b.promote(x, n, dtype=b.result.dtype)
        x, n = b.cast(x, torch.float64), truncated(b, b.cast(n, torch.float64))
        x = plus(b, times(b, x, 2), -1) if shifted else x
        value = _of_angle(b, kind, x, n)
        # PyTorch's recurrence overflows, and is not a number from two steps later on.
        earlier = b.emit("abs", _of_angle(b, kind, x, plus(b, n, -2)))
        limit = number(b, torch.finfo(b.result.dtype).max)
        overflown = b.binary("and", b.emit("not", less(b, n, 3)), _above(b, earlier, limit))
        value = b.where(overflown, number(b, math.nan), value)
        value = b.where(equal(b, n, 0), number(b, 1), value)
        return b.cast(b.where(less(b, n, 0), number(b, 0), value), b.result.dtype)

    return function


def _above(b: Builder, x: Value, y: Value) -> Value:
    return b.binary("gt", x, y, torch.bool)


def _of_angle(b: Builder, kind: str, x: Value, n: Value) -> Value:
    """The polynomial for degrees from 1 on."""
    size = b.emit("abs", x)
    one = number(b, 1)
    angle = b.emit("acos", b.binary("max", b.binary("min", x, one), number(b, -1)))
    inside = _quotient(b, kind, angle, n, "cos", "sin")
    # Far out the angle is imaginary. Below zero V and W are each other.
    far = b.emit("acosh", b.binary("max", size, one))
    outside = _quotient(b, kind, far, n, "cosh", "sinh")
    if kind in "vw":
        mirrored = _quotient(b, "w" if kind == "v" else "v", far, n, "cosh", "sinh")
        outside = b.where(less(b, x, 0), mirrored, outside)
    half = times(b, n, 0.5)
    odd = b.binary("ne", half, b.emit("floor", half), torch.bool)
    opposite = b.binary("and", odd, less(b, x, 0))
    outside = b.where(equal(b, far, math.inf), far, outside)
    outside = b.where(opposite, b.emit("neg", outside), outside)
    value = b.where(less(b, size, 1), inside, outside)
    return b.where(b.binary("ne", x, x, torch.bool), x, value)


def _quotient(b: Builder, kind: str, angle: Value, n: Value, cos: str, sin: str) -> Value:
    """`cos(n a)`, `sin((n + 1) a) / sin(a)`, or a quotient of cosines or sines of half angles."""
    if kind == "t":
        return b.emit(cos, b.binary("mul", n, angle))
    op = cos if kind == "v" else sin
    part = angle if kind == "u" else times(b, angle, 0.5)
    factor = plus(b, n, 1) if kind == "u" else plus(b, times(b, n, 2), 1)
    upper, lower = b.emit(op, b.binary("mul", factor, part)), b.emit(op, part)
    if kind == "v":
        return b.binary("div", upper, lower)
    return b.where(equal(b, angle, 0), factor, b.binary("div", upper, lower))


for _kind in "tuvw":
    for _shifted in (False, True):
        _name = f"{'shifted_' if _shifted else ''}chebyshev_polynomial_{_kind}"
        lowers(*_overloads(_name))(_chebyshev(_kind, _shifted))


# Hermite's, Laguerre's and Legendre's: by their recurrences, in a loop.

#: The polynomial of degree 1, and of each degree from the two before, k being the last one's.
_RECURRENCES = {
    "hermite_polynomial_h": (
        "add(x, x)",
        "sub(mul(add(x, x), q), mul(add(k, k), p))",
    ),
    "hermite_polynomial_he": ("copy(x)", "sub(mul(x, q), mul(k, p))"),
    "laguerre_polynomial_l": (
        "sub(one, x)",
        "div(sub(mul(add(add(k, k), sub(one, x)), q), mul(k, p)), add(k, one))",
    ),
    "legendre_polynomial_p": (
        "copy(x)",
        "div(sub(mul(mul(add(add(k, k), one), x), q), mul(k, p)), add(k, one))",
    ),
}

#: Degrees up to which PyTorch has Hermite's polynomials.
_HERMITE = {torch.float32: 128, torch.float64: 512}
#: The largest numbers of small element types, up to which a loop can always go.
_SMALL = {torch.bool: 1, torch.uint8: 255, torch.int8: 127}
#: The longest loop for a degree that is a number.
_LONGEST = 4096


def _recurrent(name: str) -> Callable[[Builder, Operand, Operand], Value]:
    def function(b: Builder, x: Operand, n: Operand) -> Value:
        dtype = b.result.dtype
        last = _largest(name, n, dtype)
        if 0 in b.result.shape:  # tract has no loop over nothing
            return b.full(0, dtype, b.result.shape)
        x, n = b.promote(x, n, dtype=dtype)
        n = truncated(b, n)
        value = _by_recurrence(b, name, x, n, last)
        zero, one = b.scalar(0, dtype), b.scalar(1, dtype)
        value = b.where(b.binary("lt", n, one, torch.bool), one, value)
        if "hermite" in name:
            beyond = b.binary("gt", n, b.scalar(_HERMITE[dtype], dtype), torch.bool)
            value = b.where(beyond, b.scalar(math.nan, dtype), value)
            finite = b.binary("lt", b.emit("abs", n), b.scalar(math.inf, dtype), torch.bool)
            value = b.where(finite, value, zero)
        elif name == "laguerre_polynomial_l":
            value = b.where(b.binary("eq", x, zero, torch.bool), one, value)
        return b.where(b.binary("lt", n, zero, torch.bool), zero, value)

    return function


def _largest(name: str, n: Operand, dtype: torch.dtype) -> int:
    """A degree that none is above."""
    if "hermite" in name:
        limit = _HERMITE[dtype]
        return limit if isinstance(n, Value) and n.known is None else min(_of_number(n), limit)
    if isinstance(n, Value) and n.dtype in _SMALL:
        return _SMALL[n.dtype]
    require(
        not isinstance(n, Value) or n.known is not None,
        "its degree is computed by the model, and the loop up to it can't be as long as a value "
        "says; give the degree as a number, or as a tensor of uint8",
    )
    last = _of_number(n)
    require(last <= _LONGEST, f"its degree of {last} takes a loop of so many steps")
    return last


def _of_number(n: Operand) -> int:
    if isinstance(n, Value):
        degrees = n.known
        assert degrees is not None
        return max(0, int(degrees.double().nan_to_num(0, 2**40, 0).max()))
    return max(0, int(n))


def _by_recurrence(b: Builder, name: str, x: Value, n: Value, last: int) -> Value:
    """The polynomial for degrees from 1 to the last."""
    first, step = _RECURRENCES[name]
    shape = broadcast_shapes(x.shape, n.shape)
    x, n = b.broadcast(x, shape), b.broadcast(n, shape)
    one = b.scalar(1, x.dtype)
    start = b.fragment(
        f"{name}_first",
        f"(x: tensor<scalar>, one: tensor<scalar>) -> (q: tensor<scalar>)\n{{\n  q = {first};\n}}",
    )
    q = b.emit(start, like=x, x=x, one=one)
    if last < 2:
        return q
    body = b.fragment(
        f"{name}_step",
        "(k: tensor<scalar>, p: tensor<scalar>, q: tensor<scalar>, x: tensor<scalar>, "
        "n: tensor<scalar>, one: tensor<scalar>) -> "
        "(p_next: tensor<scalar>, q_next: tensor<scalar>)\n"
        "{\n  ahead = lt(k, n);\n"
        f"  q_next = select(ahead, {step}, q);\n"
        "  p_next = select(ahead, q, p);\n}",
    )
    axes = [1] * len(shape)
    # tract fails on loops over constants, so a zero made of an input is added to each.
    unknown = b.cast(b.binary("ne", x, x, torch.bool), x.dtype)
    unknown = b.reduce("max_reduce", unknown, list(range(x.rank)), keepdim=True)
    zero = b.unsqueeze(b.binary("min", unknown, b.scalar(0, x.dtype)), [0])
    steps = b.constant(torch.arange(1, last, dtype=x.dtype).reshape(-1, *axes))
    x, n, q, p = (b.unsqueeze(v, [0]) for v in (x, n, q, b.full(1, x.dtype, x.shape)))
    full = {"x": x, "n": b.binary("add", n, zero), "one": b.binary("add", zero, one)}
    results = b.emit_many(
        "tract_core_scan",
        results=[q],
        outputs_as_list=True,
        body=body,
        scan=[("k", b.binary("add", steps, zero), 0, 1)],
        full=list(full.items()),
        state=[("p", p, "p_next"), ("q", q, "q_next")],
        output=[("q_next", "last", 0, 1)],
        reset_every_turn=1,
    )
    return b.squeeze(results[0], [0])


for _name in _RECURRENCES:
    lowers(*_overloads(_name))(_recurrent(_name))
