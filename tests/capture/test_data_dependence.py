"""What depends on the values of tensors is refused by name, with the user's file and line."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn
from torch._higher_order_ops import scan, while_loop

from harness import export
from torchtract.errors import CaptureError, UnsupportedOpError

map_rows: Any = torch._higher_order_ops.map
X = torch.rand(3, 4) - 0.5
AXES = {"x": {0: "B"}}


def line_of(module: type[nn.Module]) -> str:
    return f"test_data_dependence.py:{inspect.getsourcelines(module.forward)[1] + 1}"


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))


class BranchOnSize(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.cond(x.shape[0] > 2, lambda y: y + 1, lambda y: y - 1, (x,))


class Loop(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2), (torch.tensor(0), x))[1]


class Scanned(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return scan(lambda c, y: (c + y, c * y), torch.zeros(4), x)[1]


class Mapped(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return map_rows(self.row, x)

    def row(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (Branch, "cond"),
        (Loop, "while_loop"),
        (Scanned, "scan"),
        (Mapped, "map"),
    ],
)
def test_operators_that_run_graphs_are_refused(
    module: type[nn.Module], name: str, dynamic: bool
) -> None:
    with pytest.raises(UnsupportedOpError, match=rf"{name}\w* is refused.*NNEF") as refusal:
        export(module(), X, dynamic_axes=AXES if dynamic else None)
    assert line_of(module) in str(refusal.value)


def test_a_branch_on_a_size_is_refused_where_the_size_is_dynamic() -> None:
    with pytest.raises(UnsupportedOpError, match=r"cond is refused.*NNEF") as refusal:
        export(BranchOnSize(), X, dynamic_axes=AXES)
    assert line_of(BranchOnSize) in str(refusal.value)


class CountAlone(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.zeros_like(x[x > 0])


class Number(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x * x.sum().item()


def in_another_function(x: torch.Tensor) -> Any:
    return x * x.sum().item()


class Helped(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return in_another_function(x)


def test_the_line_is_that_of_the_call_in_whatever_function() -> None:
    with pytest.raises(UnsupportedOpError, match=r"item\(\)") as refusal:
        export(Helped(), X, dynamic_axes=AXES)
    line = inspect.getsourcelines(in_another_function)[1] + 1
    assert f"test_data_dependence.py:{line}" in str(refusal.value)


class Reshaped(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x.reshape(int((x > 5).sum()) + 3, -1)


class Vectorized(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.vmap(torch.sin)(x)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (Vectorized, "_add_batch_dim is refused"),
        (Reshaped, "nothing shows that these are as many elements"),
        (Number, r"aten.mul.Tensor.*item\(\)"),
    ],
)
def test_shapes_and_numbers_from_data_are_refused(
    module: type[nn.Module], name: str, dynamic: bool
) -> None:
    with pytest.raises(UnsupportedOpError, match=name) as refusal:
        export(module(), X, dynamic_axes=AXES if dynamic else None)
    assert line_of(module) in str(refusal.value)


def test_a_size_from_data_alone_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="how many elements are picked, and not on which"):
        export(CountAlone(), X)


class Compared(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x if x.max() > 0.3 else -x


class BranchOnInt(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x if (n := int(x.argmax())) > 3 else x[:, :n]


class ToNumpy(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.from_numpy(x.numpy() * 2)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("module", [Compared, BranchOnInt, ToNumpy])
def test_python_that_asks_for_values_is_refused(module: type[nn.Module], dynamic: bool) -> None:
    with pytest.raises(CaptureError, match="one graph") as refusal:
        export(module(), X, dynamic_axes=AXES if dynamic else None)
    assert line_of(module) in str(refusal.value)


class Gradient(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.autograd.grad((x**2).sum(), x)[0]


class Differentiated(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.func.grad(lambda y: (y**2).sum())(x)


class Jacobian(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.func.jacrev(torch.sin)(x)


class Autocast(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return x @ x.T


class Regrown(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        self.table = torch.arange(x.shape[0]) * 1.0
        return x * self.table[:, None]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(2))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Gradient, "derivatives are taken"),
        (Differentiated, "derivatives are taken"),
        (Jacobian, "derivatives are taken"),
        (Autocast, "autocast computes in torch.bfloat16"),
        (Regrown, "expand"),
    ],
)
def test_what_torch_cannot_trace_is_refused_with_its_line(
    module: type[nn.Module], reason: str
) -> None:
    with pytest.raises(CaptureError, match=reason) as refusal:
        export(module(), X, dynamic_axes=AXES)
    assert line_of(module) in str(refusal.value)
