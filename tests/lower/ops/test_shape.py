"""Views, repeats and windows give PyTorch's elements, in its order and shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import integers, uniform
from torchtract.errors import UnsupportedOpError

DYNAMIC: dict[str, Any] = {
    "dynamic_axes": {"x0": {0: "B", 1: "S"}},
    "sizes": [{"B": 1, "S": 9}, {"B": 5, "S": 1}, {"B": 4, "S": 6}],
}

Function = Callable[..., Any]

#: Functions of a tensor [B, S, 6] that are right at all B and S.
VIEWS: dict[str, Function] = {
    "view": lambda x: x.view(x.shape[0] * x.shape[1], 6),
    "view splits": lambda x: x.view(x.shape[0], x.shape[1], 2, 3),
    "view merges and splits": lambda x: x.view(x.shape[0] * 2, x.shape[1] * 3),
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "reshape to one axis": lambda x: x.reshape(-1),
    "reshape adds axes": lambda x: x.reshape(1, x.shape[0], x.shape[1], 1, 6),
    "view_as": lambda x: x.view_as(x.view(x.shape[0], x.shape[1], 3, 2)),
    "reshape_as": lambda x: x.mT.reshape_as(x.view(x.shape[0], x.shape[1], 3, 2)),
    "flatten": lambda x: x.flatten(),
    "flatten from": lambda x: x.flatten(1),
    "flatten to": lambda x: x.flatten(0, 1),
    "flatten one axis": lambda x: x.flatten(1, 1),
    "unflatten": lambda x: x.unflatten(-1, (2, -1)),
    "ravel": lambda x: x.ravel(),
    "atleast_3d": lambda x: torch.atleast_3d(x[0]),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze last": lambda x: x.unsqueeze(-1),
    "squeeze of nothing": lambda x: x.squeeze(2),
    "squeeze": lambda x: x[..., None, :].squeeze(-2),
    "squeeze many": lambda x: x[:, None, :, None].squeeze((1, 3)),
    "squeeze what unsqueeze added": lambda x: x.unsqueeze(0).squeeze(0) + x,
    "permute": lambda x: x.permute(2, 0, 1),
    "permute negative": lambda x: x.permute(-1, 0, -2),
    "transpose": lambda x: x.transpose(0, 2),
    "transpose negative": lambda x: x.transpose(-1, -3),
    "transpose and view": lambda x: x.transpose(0, 1).reshape(x.shape[1], -1),
    "mT": lambda x: x.mT,
    "mH": lambda x: x.mH,
    "adjoint": lambda x: x.adjoint(),
    "t": lambda x: x[0].t(),
    "T": lambda x: x[0].T,
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "swapdims": lambda x: x.swapdims(0, 1),
    "movedim": lambda x: x.movedim(0, -1),
    "movedim many": lambda x: x.movedim((0, 2), (2, 1)),
    "moveaxis": lambda x: torch.moveaxis(x, 2, 0),
}


@pytest.mark.parametrize("name", VIEWS)
def test_view(name: str) -> None:
    export_and_compare(VIEWS[name], uniform(2, 3, 6), **DYNAMIC)


#: Functions of a tensor [B, S, 6] that repeat or reorder its elements.
REPEATS: dict[str, Function] = {
    "expand": lambda x: x[:, :, None].expand(-1, -1, 4, -1),
    "expand by a symbol": lambda x: x[:, :1].expand(-1, x.shape[1], -1),
    "expand adds axes": lambda x: x.expand(3, *x.shape),
    "expand_as": lambda x: x[:, :1].expand_as(x) * 1,
    "broadcast_to": lambda x: x[:1].broadcast_to(x.shape),
    "repeat": lambda x: x.repeat(2, 1, 3),
    "repeat adds axes": lambda x: x.repeat(2, 1, 3, 1),
    "repeat by a symbol": lambda x: x[0, :1].repeat(x.shape[1], x.shape[0]),
    "repeat of size one": lambda x: x[:1].repeat(x.shape[0], 1, 1),
    "tile": lambda x: x.tile(2, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(3, 1),
    "repeat_interleave last": lambda x: x.repeat_interleave(2, -1),
    "repeat_interleave flat": lambda x: x.repeat_interleave(2),
    "repeat_interleave by a symbol": lambda x: x[0].repeat_interleave(x.shape[0], 0),
    "flip": lambda x: x.flip(1),
    "flip many": lambda x: x.flip(0, -1),
    "roll": lambda x: x.roll(2, -1),
    "roll back": lambda x: x.roll(-4, -1),
    "roll by more than there are": lambda x: x.roll(20, -1),
    "roll by one": lambda x: x.roll((1, -1), (0, 1)),
    "unfold": lambda x: x.unfold(-1, 3, 2),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[0, :, 1], indexing="ij"),
    "meshgrid xy": lambda x: torch.meshgrid(x[0, 0], x[0, :, 1], x[:, 0, 0], indexing="xy"),
}


@pytest.mark.parametrize("name", REPEATS)
def test_repeat_or_reorder(name: str) -> None:
    export_and_compare(REPEATS[name], uniform(2, 3, 6), **DYNAMIC)


#: Functions of a tensor [3, 4, 4] whose sizes have to be known.
STATIC: dict[str, Function] = {
    "squeeze all": lambda x: x[:1, :, :1].squeeze(),
    "roll flat": lambda x: x.roll(5),
    "roll many": lambda x: x.roll((1, -2), (1, 2)),
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "diagonal of the first axes": lambda x: x.diagonal(),
    "diagonal above": lambda x: x.diagonal(1, 1, 2),
    "diagonal below": lambda x: x.diagonal(-2, -1, -2),
    "diagonal of one element": lambda x: x.diagonal(3, 1, 2),
    "diagonal of no element": lambda x: x.diagonal(4, 1, 2),
    "view of no element": lambda x: x[:, :0].reshape(0, 5),
    "unfold": lambda x: x.unfold(1, 2, 1),
}


@pytest.mark.parametrize("name", STATIC)
def test_static_shape(name: str) -> None:
    export_and_compare(STATIC[name], uniform(3, 4, 4))


@pytest.mark.parametrize("size", [8, 9, 12])
def test_windows_along_a_symbolic_axis(size: int) -> None:
    axes = {"x0": {1: "S"}}
    extensions = ["tract_assert S >= 4"]
    export_and_compare(
        lambda x: x.unfold(1, 4, 2),
        uniform(2, 10, 3),
        dynamic_axes=axes,
        sizes=[{"S": size}],
        custom_extensions=extensions,
    )


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    x = integers(2, 3, 6, low=0, high=9).to(dtype)

    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        doubled = torch.cat([x.mT, x.mT], 2).repeat(2, 1, 1)
        return doubled.reshape(-1, 4), x.flip(1).roll(1, 2), x[:, :1].expand(2, 3, 6)

    export_and_compare(function, x)


def test_rank_zero() -> None:
    x = torch.tensor(0.7)
    export_and_compare(lambda x: x.reshape(1, 1), x)
    export_and_compare(lambda x: (x.unsqueeze(0), x.flatten(), x.squeeze(), x.repeat(3)), x)
    export_and_compare(lambda x: (x.expand(2, 3), x.flip(0)), x)
    export_and_compare(lambda x: (x.unfold(0, 1, 1), x.unfold(0, 0, 1)), x)
    export_and_compare(lambda x: x.reshape(()), uniform(1, 1))


def test_no_elements() -> None:
    x = torch.empty(0, 2, 0)
    export_and_compare(lambda x: (x.roll(2), x.reshape(0), x.reshape(3, 0, 5), x.flatten(1)), x)


@pytest.mark.parametrize("dim", [None, 0, (0, 1)])
def test_squeezing_a_symbolic_axis_is_refused(dim: Any) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x.squeeze() if dim is None else x.squeeze(dim)

    axes = {"x0": {0: "B"}}
    with pytest.raises(UnsupportedOpError, match=r"another rank .* assert B >= 2"):
        export_and_compare(function, uniform(3, 4), dynamic_axes=axes)
    export_and_compare(
        function,
        uniform(3, 4),
        dynamic_axes=axes,
        sizes=[{"B": 2}, {"B": 5}],
        custom_extensions=["tract_assert B >= 2"],
    )


@pytest.mark.parametrize("shift", [2, -5])
def test_rolling_a_symbolic_axis_more_than_once_around(shift: int) -> None:
    export_and_compare(
        lambda x: x.roll(shift, 0),
        uniform(3, 4),
        dynamic_axes={"x0": {0: "B"}},
        sizes=[{"B": 1}, {"B": 2}, {"B": 9}],
    )
