"""Greatest common divisors and least common multiples, by Euclid's loop."""

from __future__ import annotations

import torch

from torchtract.lower.builder import Builder
from torchtract.lower.dtypes import datum_type
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value, broadcast_shapes

aten = torch.ops.aten

#: The most steps that numbers of this many bits take: Fibonacci's take most.
_STEPS = {8: 13, 16: 24, 32: 47, 64: 93}


@lowers(aten.gcd.default)
def gcd(b: Builder, x: Value, other: Value) -> Value:
    """gcd(Tensor self, Tensor other) -> Tensor"""
    return _gcd(b, *_operands(b, x, other))


@lowers(aten.lcm.default)
def lcm(b: Builder, x: Value, other: Value) -> Value:
    """lcm(Tensor self, Tensor other) -> Tensor"""
    x, other = _operands(b, x, other)
    divisor, zero = _gcd(b, x, other), b.scalar(0, x.dtype)
    none = b.binary("eq", divisor, zero, torch.bool)
    divisor = b.where(none, b.scalar(1, x.dtype), divisor)
    # As in C++, small numbers overflow only after all.
    wide = torch.promote_types(x.dtype, torch.int32)
    x, other, divisor = (b.cast(v, wide) for v in (x, other, divisor))
    multiple = b.binary("mul", b.binary("div", x, divisor), other)
    return b.cast(b.emit("abs", multiple), b.result.dtype)


def _operands(b: Builder, x: Value, other: Value) -> tuple[Value, Value]:
    shape = broadcast_shapes(x.shape, other.shape)
    x, other = (b.broadcast(v, shape) for v in b.promote(x, other, dtype=b.result.dtype))
    return x, other


def _absolute(b: Builder, x: Value) -> Value:
    return b.emit("abs", x) if x.dtype.is_signed else x


def _gcd(b: Builder, x: Value, y: Value) -> Value:
    if 0 in x.shape:
        return x
    x, y, zero = _absolute(b, x), _absolute(b, y), b.scalar(0, x.dtype)
    steps = _STEPS[torch.iinfo(x.dtype).bits]
    # What a loop is over has to be used in it and not be known: that it never stops early.
    every = list(range(x.rank))
    largest = (b.reduce("max_reduce", v, every, keepdim=True) for v in (x, y))
    some, more = (b.binary("eq", v, zero, torch.bool) for v in largest)
    either = b.binary("tract_core_xor", some, more)
    stop = b.unsqueeze(b.binary("and", either, b.emit("not", either)), [0])
    stop = b.broadcast(stop, [steps, *stop.shape[1:]])
    states = [b.unsqueeze(v, [0]) for v in (x, y)]
    body = (
        "(stop: tensor<scalar>, x: tensor<scalar>, y: tensor<scalar>)"
        " -> (x_next: tensor<scalar>, y_next: tensor<scalar>)\n{\n"
        f"  one = tract_core_cast(1, to = '{datum_type(x.dtype)}');\n"
        f"  zero = tract_core_cast(0, to = '{datum_type(x.dtype)}');\n"
        "  done = or(stop, eq(y, zero));\n"
        "  divisor = select(done, one, y);\n"
        "  rest = sub(x, mul(div(x, divisor), divisor));\n"
        "  x_next = select(done, x, y);\n"
        "  y_next = select(done, y, rest);\n}"
    )
    (found,) = b.emit_many(
        "tract_core_scan",
        results=states[:1],
        outputs_as_list=True,
        body=b.fragment("gcd_step", body),
        scan=[("stop", stop, 0, 1)],
        full=[],
        state=[("x", states[0], "x_next"), ("y", states[1], "y_next")],
        output=[("x_next", "last", 0, 1)],
    )
    return b.squeeze(found, [0])
