"""Views of memory are PyTorch's, where the memory is the tensor; others are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export, export_and_compare
from lower.ops.inputs import uniform
from torchtract.errors import UnsupportedOpError

Function = Callable[[torch.Tensor], Any]


def written(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y.as_strided((2, 2), (1, 3), 2).fill_(7.0)
    return y


#: Functions of a tensor [S, 6].
VIEWS: dict[str, Function] = {
    "as_strided": lambda x: x.as_strided((2, 3), (1, 2), 1),
    "overlapping windows": lambda x: x.as_strided((x.shape[0], 4, 3), (x.shape[1], 1, 1)),
    "a diagonal": lambda x: x.as_strided((x.shape[0],), (x.shape[1],)),
    "of a number": lambda x: x.as_strided((), (), 3),
    "of nothing": lambda x: x.as_strided((2, 0), (1, 1)),
    "repeated": lambda x: x.as_strided((3, 2), (0, 1)),
    "of a copy": lambda x: x.t().contiguous().as_strided((4,), (2,)),
    "as_strided_copy": lambda x: torch.as_strided_copy(x, (2, 3), (1, 2), 1),
    "as_strided_scatter": lambda x: x.as_strided_scatter(x[:2, 2:4], (2, 2), (1, 3), 1),
    "written": written,
    "new": lambda x: x.new_empty_strided((2, 3), (1, 2)).fill_(2) + x[:2, :3],
    "new and permuted": lambda x: torch.empty_permuted((2, 3), (1, 0)).fill_(2) + x[:2, :3],
}
#: Functions whose memory is not their tensor.
PARTS: dict[str, Function] = {
    "rows": lambda x: x[1:].as_strided((2, 3), (1, 2)),
    "columns": lambda x: x[:, 1:].as_strided((2, 3), (1, 2)),
    "transposed": lambda x: x.t().as_strided((2, 3), (1, 2)),
    "elementwise of transposed": lambda x: (x.t() + 1).as_strided((2, 3), (1, 2)),
    "expanded": lambda x: x[:, :1].expand(4, 6).as_strided((2, 3), (1, 2)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str) -> None:
    axes, sizes = {"x0": {0: "S"}}, [{"S": 2}, {"S": 7}]
    export_and_compare(VIEWS[name], uniform(4, 6), dynamic_axes=axes, sizes=sizes)


def test_resize() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cut, like = x.clone().resize_(2, 3), x.clone().resize_as_(torch.zeros(5))
        return cut, like, x.clone().resize_(24)

    export_and_compare(function, uniform(4, 6))


def test_enlarged() -> None:
    x = uniform(4, 6)
    model = export(lambda x: x.clone().resize_(5, 6), x)  # PyTorch leaves the last row open
    assert torch.equal(torch.tensor(model.compile().run({"x0": x})["output"])[:4], x)


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedOpError, match="memory of a tensor that is a part"):
        export(PARTS[name], uniform(4, 6))
