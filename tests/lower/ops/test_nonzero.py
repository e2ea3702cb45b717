"""What is picked by a mask is PyTorch's: as many elements as the data says, also none and all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import integers, uniform
from torchtract.errors import PulseError, UnsupportedOpError

Function = Callable[[torch.Tensor], Any]

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "B", 1: "S"}},
    "sizes": [{"B": 1, "S": 9}, {"B": 4, "S": 1}, {"B": 2, "S": 11}],
}

#: Functions of a tensor [B, S, 6] of numbers from -3 to 3.
PICKED: dict[str, Function] = {
    "nonzero": lambda x: x.clamp(min=0).nonzero(),
    "argwhere": lambda x: torch.argwhere(x > 1),
    "where": lambda x: torch.where(x > 0),
    "masked_select": lambda x: torch.masked_select(x, x[..., :1] > 0),
    "elements": lambda x: x[x > 0],
    "rows": lambda x: x[x[..., 0] > 0],
    "columns": lambda x: x[:, x[0, :, 0] > 0],
    "a mask and a position": lambda x: x[x[:, 0, 0] > -9, 0],
    "a mask apart from a position": lambda x: x[x[:, 0, 0] > -9, :, torch.tensor([0])],
    "a mask of numbers": lambda x: x[..., torch.tensor([True, False, True, True, False, False])],
    "a mask of positions": lambda x: x[..., torch.arange(6) > 2],
    "a mask of sizes": lambda x: x[torch.arange(x.shape[0]) > 1],
    "none": lambda x: (x[x > 9], x[x[..., 0] > 9] * 2),
    "of one number": lambda x: x[0, 0, 0].nonzero(),
}
#: What becomes of them.
USED: dict[str, Function] = {
    "sum": lambda x: x[x > 0].sum(),
    "sum of none": lambda x: (x[x > 9].sum(), x[:, x[0, :, 0] > 9].transpose(1, 2).sum(-1)),
    "mean of none": lambda x: x[x > 9].mean(),
    "mean": lambda x: x[x > -9].mean(),
    "norm": lambda x: x[x > 0].norm(),
    "sum of integers": lambda x: (x * 9).long()[x > 0].sum(),
    "linear": lambda x: x[x[..., 0] > 0] @ torch.ones(6, 4),
    "linear of none": lambda x: x[x[..., 0] > 9] @ torch.ones(6, 4),
    "softmax": lambda x: x[x[..., 0] > 0].softmax(0),
    "sorted": lambda x: x[x > 0].sort(stable=True).values,
    "joined": lambda x: torch.cat([x[x > 0], x[x < 0]]),
    "two of one mask": lambda x: x[x > 0] + (x * 2)[x > 0],
    "numbered": lambda x: x[x > 0] * torch.arange(x[x > 0].shape[0]),
    "their number": lambda x: x.sum() / x[x > 0].shape[0],
    "their shape": lambda x: x[x[..., 0] > 0].reshape(-1, 2, 3).flatten(1),
    "running sum": lambda x: x[x > 0].cumsum(0),
    "all but two": lambda x: x[x > -9][2:],
    "last": lambda x: x[x > -9][-1],
    "largest": lambda x: x[x > -9].max(),
    "normalised": lambda x: torch.nn.functional.layer_norm(x[x[..., 0] > 0], (6,)),
    "sliced by sizes": lambda x: x[torch.arange(x.shape[0]) > -1][1:],
}


@pytest.mark.parametrize("name", PICKED)
def test_picked(name: str) -> None:
    export_and_compare(PICKED[name], uniform(3, 5, 6), **DYNAMIC)


@pytest.mark.parametrize("name", USED)
def test_used(name: str) -> None:
    export_and_compare(USED[name], uniform(3, 5, 6), **DYNAMIC)


@pytest.mark.parametrize("name", ["a mask of sizes", "sliced by sizes"])
def test_sizes_that_are_set(name: str) -> None:
    x = uniform(3, 5, 6)
    functions = PICKED | USED
    model = export(functions[name], x, dynamic_axes={"x0": {0: "B"}}).set(B=3)
    expected = functions[name](x)
    assert torch.equal(torch.tensor(model.compile().run({"x0": x})["output"]), expected)


def test_written_by_a_mask_and_a_position() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.index_put(x, (x[:, :, 0] > 0, torch.tensor(1)), torch.tensor(7.0))

    export_and_compare(function, uniform(3, 5, 6), **DYNAMIC)


def test_the_number_is_a_symbol_of_the_file() -> None:
    model = export(lambda x: (x[x > 0], x + 1), uniform(3, 4), dynamic_axes={"x0": {0: "B"}})
    assert model.symbols == ("B", "index_count")
    assert [output.shape for output in model.outputs] == [("index_count",), ("B", 4)]
    unused = export(lambda x: (x[x > 0], x + 1)[1], uniform(3, 4), dynamic_axes={"x0": {0: "B"}})
    assert unused.symbols == ("B",)
    with pytest.raises(PulseError, match="takes all frames at once"):
        model.pulse(B=2)


@pytest.mark.parametrize("size", [0, 4, 200])
def test_nonzero_static(size: int) -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.nonzero_static(x > 0, size=size, fill_value=7), x.nonzero_static(size=size)

    export_and_compare(function, uniform(3, 5, 6), **DYNAMIC)


@pytest.mark.parametrize("with_replacement", [False, True])
def test_combinations(with_replacement: bool) -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        few = (torch.combinations(x[0], r, with_replacement) for r in (1, 2, 3))
        return *few, torch.combinations(x[0, :1], 2, with_replacement)

    export_and_compare(function, integers(2, 4, low=0, high=9))


def test_triangles_of_sizes() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows, columns = torch.tril_indices(x.shape[0], x.shape[1], 1)
        above = torch.triu_indices(x.shape[1], x.shape[1], -1, dtype=torch.int32)
        return x[rows, columns], above

    export_and_compare(function, uniform(3, 5, 6), **DYNAMIC)


def test_narrow_from_a_tensor() -> None:
    def function(x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.narrow(1, i, 2), torch.narrow(x, 0, -i, 1)

    export_and_compare(function, uniform(3, 5, 6), torch.tensor(2), **DYNAMIC | {"sizes": []})


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[x > 0] + x[x < 0]).flip(0),
        lambda x: x[x > 0].reshape(-1, 2),
        lambda x: x[x[:, 0] > 0] + torch.ones(3, 1),
        lambda x: x[x[:, 0] > 0] + x,
    ],
    ids=["two masks", "a multiple", "a number", "another tensor"],
)
def test_sizes_that_the_tracer_takes_for_granted_are_refused(function: Function) -> None:
    with pytest.raises(UnsupportedOpError, match="PyTorch takes for granted that index_count is"):
        export(function, uniform(3, 4))
