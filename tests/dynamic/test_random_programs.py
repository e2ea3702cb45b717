"""Random small programs over dynamic axes give PyTorch's numbers at random sizes, or are refused.

`HYPOTHESIS_PROFILE=long` runs many more programs, others each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from dynamic.rows import Input, compare_at, floats
from harness import export
from torchtract.errors import ExportError, RunError

_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
_SETTINGS = hypothesis.settings(
    deadline=None,
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "400")) if _LONG else 25,
    derandomize=not _LONG,
    suppress_health_check=list(HealthCheck),
)

Step = Callable[[list[torch.Tensor]], None]


def _filled(x: torch.Tensor, axis: int) -> torch.Tensor:
    y = x.clone()
    y.select(axis, 0).fill_(0)
    return y


def _pairs(x: torch.Tensor, axis: int) -> torch.Tensor:
    x = x.transpose(0, axis)
    even = x[: x.shape[0] // 2 * 2]
    return even.reshape(x.shape[0] // 2, 2, *x.shape[1:]).mean(1).transpose(0, axis)


#: Functions of a tensor of any rank of 1 or more and one of its axes.
OF_AXIS: dict[str, Callable[[torch.Tensor, int], Any]] = {
    "sum": lambda x, a: x.sum(a, keepdim=True),
    "mean": lambda x, a: x.mean(a),
    "var": lambda x, a: x.var(a, keepdim=True),
    "std, biased": lambda x, a: x.std(a, correction=0),
    "max": lambda x, a: x.max(a)[0],
    "argmax": lambda x, a: x.argmax(a, keepdim=True) * 0.5,
    "logsumexp": lambda x, a: x.logsumexp(a),
    "softmax": lambda x, a: x.softmax(a),
    "cumsum": lambda x, a: x.cumsum(a),
    "flip": lambda x, a: x.flip(a),
    "roll": lambda x, a: x.roll(3, a),
    "roll by a size": lambda x, a: x.roll(x.shape[0] // 2, a),
    "diff": lambda x, a: x.diff(dim=a),
    "the last": lambda x, a: x.select(a, -1),
    "the first": lambda x, a: x.narrow(a, 0, 1),
    "all but the last": lambda x, a: x.narrow(a, 0, x.shape[a] - 1),
    "the first half": lambda x, a: x.narrow(a, 0, x.shape[a] // 2),
    "the first two, or fewer": lambda x, a: x.transpose(0, a)[:2].transpose(0, a),
    "the last two, or fewer": lambda x, a: x.transpose(0, a)[-2:].transpose(0, a),
    "from the third on": lambda x, a: x.transpose(0, a)[2:].transpose(0, a),
    "every second": lambda x, a: x.transpose(0, a)[::2].transpose(0, a),
    "twice": lambda x, a: torch.cat([x, -x], a),
    "with its mean": lambda x, a: torch.cat([x, x.mean(a, keepdim=True)], a),
    "halves crossed": lambda x, a: torch.cat(list(x.tensor_split(2, a))[::-1], a),
    "repeated": lambda x, a: x.repeat_interleave(2, a),
    "windows": lambda x, a: x.unfold(a, 2, 1).mean(-1),
    "times positions": lambda x, a: (x.transpose(a, -1) * torch.arange(x.shape[a])).transpose(
        a, -1
    ),
    "over its size": lambda x, a: x / x.shape[a],
    "plus a remainder": lambda x, a: x + x.shape[a] % 3,
    "first is zero": _filled,
    "padded to even": lambda x, a: F.pad(x.transpose(a, -1), (0, x.shape[a] % 2)).transpose(a, -1),
    "in pairs": _pairs,
    "normalized": lambda x, a: F.layer_norm(x.transpose(a, -1), (x.shape[a],)).transpose(a, -1),
    "unsqueezed": lambda x, a: x.unsqueeze(a) if x.dim() < 4 else x,
    "merged": lambda x, a: x.flatten(0, min(a, x.dim() - 1)),
    "transposed": lambda x, a: x.transpose(0, a),
    "negated": lambda x, _: -x.tanh(),
    "tril": lambda x, a: x.tril(a) if x.dim() > 1 else x,
}

#: Functions of two tensors.
OF_TWO: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "maximum": torch.maximum,
    "where": lambda x, y: torch.where(x > y, x, y * 2),
    "outer": lambda x, y: x.flatten()[:, None] * y.flatten()[None],
    "matmul": lambda x, y: x @ y.mT if x.dim() > 1 and y.dim() > 1 else x,
    "side by side": lambda x, y: torch.cat([x, y], -1),
    "stack": lambda x, y: torch.stack([x, y], 0) if x.dim() < 4 else x,
    "all pairs": lambda x, y: (x.flatten()[:, None] - y.flatten()).abs().amin(1),
    "cut to the other": lambda x, y: x[: y.shape[0]],
}


class Program(torch.nn.Module):
    """Steps that each put a new tensor on a stack, of which the last few are returned."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps

    def __repr__(self) -> str:
        return f"Program({self.steps})"

    def forward(self, *x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        stack = list(x)
        for name, first, second in self.steps:
            tensor = stack[first % len(stack)]
            if name in OF_AXIS:
                stack.append(OF_AXIS[name](tensor, second % max(tensor.dim(), 1)))
            else:
                stack.append(OF_TWO[name](tensor, stack[second % len(stack)]))
        return tuple(stack[len(x) :][-2:])


INPUTS: dict[str, tuple[Input, ...]] = {
    "B": (floats("B"), floats("B", 4)),
    "S": (floats("S"), floats("S", 2, "S")),
    "B, S": (floats("B", "S", 3), floats("B", "S"), floats("S", 3)),
    "B, S, 2": (floats("B", 2, "S", 3), floats("S", 3)),
}

steps = st.lists(
    st.tuples(st.sampled_from([*OF_AXIS, *OF_TWO]), st.integers(0, 5), st.integers(0, 5)),
    min_size=1,
    max_size=5,
)
sizes = st.lists(
    st.fixed_dictionaries({"B": st.integers(1, 5), "S": st.integers(1, 12)}),
    min_size=3,
    max_size=3,
)


@_SETTINGS
@given(st.sampled_from(sorted(INPUTS)), steps, sizes, st.integers(0, 99))
def test_random_programs(
    kind: str, steps: list[tuple[str, int, int]], at: list[dict[str, int]], seed: int
) -> None:
    inputs, program = INPUTS[kind], Program(steps)
    traced = {"B": 3, "S": 7}
    example = [i.at(traced, seed) for i in inputs]
    try:
        with torch.no_grad():
            program(*example)
    except (RuntimeError, IndexError, ValueError):
        hypothesis.reject()
    try:
        model = export(
            program,
            *example,
            dynamic_axes={f"x{n}": i.axes for n, i in enumerate(inputs)},
            input_names=[f"x{n}" for n in range(len(inputs))],
        )
    except ExportError as refusal:
        hypothesis.event(f"refused: {type(refusal).__name__}")
        return
    runnable = model.compile()
    for sizes in (traced, *at):
        _compare_or_stop(program, runnable, [i.at(sizes, seed + 1) for i in inputs])


def _compare_or_stop(program: Program, runnable: Any, args: list[torch.Tensor]) -> None:
    """Compare; a size of 0 that comes about on the way may be refused at run."""
    try:
        compare_at(program, runnable, args, rtol=1e-3, atol=1e-3)
    except RunError as error:
        with torch.no_grad():
            outputs = program(*(x.clone() for x in args))
        hypothesis.event("refused at run")
        if "slic" not in str(error) and all(x.numel() for x in outputs):
            raise


def test_programs_are_exported_mostly() -> None:
    """The strategies make programs that export: a test of refusals alone would show nothing."""
    program = Program([("var", 0, 1), ("add", 0, 3), ("roll", 4, 1)])
    inputs = INPUTS["B, S"]
    args = [i.at({"B": 3, "S": 7}, 0) for i in inputs]
    model = export(
        program,
        *args,
        dynamic_axes={f"x{n}": i.axes for n, i in enumerate(inputs)},
        input_names=["x0", "x1", "x2"],
    )
    assert compare_at(program, model.compile(), [i.at({"B": 1, "S": 50}, 1) for i in inputs])
    with pytest.raises(AssertionError):
        compare_at(Program([("negated", 0, 0)]), model.compile(), args)
