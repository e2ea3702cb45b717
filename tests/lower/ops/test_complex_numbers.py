"""Arithmetic and rearrangements of complex numbers that a model makes on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import export_and_compare
from lower.ops.inputs import uniform

Function = Callable[[torch.Tensor], Any]

#: What is done to complex numbers [B, S, 4].
FUNCTIONS: dict[str, Function] = {
    "parts": lambda z: (z.real, z.imag, z.abs(), z.angle(), z.conj() * 1j),
    "add": lambda z: (z + z.flip(1), z - 1j, z + z.real, 2 - z),
    "mul": lambda z: (z * z, z * 3, z * (1 - 2j), z * z.real, 1j * z.imag),
    "div": lambda z: (z / 2, z / (z + 5), z / (z.abs() + 1), (z * 1e25) / (z * 1e25 + 1e25)),
    "neg_exp": lambda z: (-z, z.exp(), torch.exp(1j * z.real)),
    "sums": lambda z: (z.sum(1), z.mean(), z.cumsum(1)),
    "views": lambda z: (z.transpose(0, 1), z.reshape(-1, 4), z.unsqueeze(1), z.permute(2, 0, 1)),
    "slices": lambda z: (z[:, :1], z[..., ::2], z[:, -1], *z.split(3, dim=2), *z.unbind(2)),
    "joined": lambda z: (torch.cat([z, z.conj()], 1), torch.stack([z, z * 2]), z.repeat(1, 2, 1)),
    "gathers": lambda z: (z[:, :, torch.tensor([2, 0])], z.index_select(2, torch.tensor([1]))),
    "padded": lambda z: torch.nn.functional.pad(z, (1, 2), value=3.0),
    "where": lambda z: torch.where(z.real > 0, z, z * 2j),
    "made": lambda z: (torch.polar(z.abs(), z.real), torch.complex(z.imag, z.real)),
    "types": lambda z: (z.to(torch.complex128), z.real.to(torch.complex64), z.clone()),
}


def on_complex(function: Function) -> Function:
    """A function of complex numbers as one of real numbers [B, S, 8]."""

    def on_real(x: torch.Tensor) -> Any:
        results = function(torch.view_as_complex(x.reshape(*x.shape[:-1], 4, 2)))
        results = results if isinstance(results, tuple) else (results,)
        return [torch.view_as_real(r.resolve_conj()) if r.is_complex() else r for r in results]

    return on_real


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    axes, sizes = {"x0": {0: "B", 1: "S"}}, [{"B": 1, "S": 1}, {"B": 3, "S": 9}]
    export_and_compare(
        on_complex(FUNCTIONS[name]), uniform(2, 5, 8), dynamic_axes=axes, sizes=sizes
    )


def test_parts_of_real_numbers() -> None:
    export_and_compare(
        lambda x: (x.real + 1, x.conj() * 2, x.resolve_conj(), x.angle(), x.conj_physical() - 1),
        uniform(3, 4),
    )


class Rotary(torch.nn.Module):
    """Positions as complex factors of a table, as in the first Llama's code."""

    factors: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.polar(torch.ones(64, 4), uniform(64, 4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(z * self.factors[: x.shape[1]]).flatten(2)


def test_a_table_of_complex_numbers() -> None:
    axes, sizes = {"x": {0: "B", 1: "S"}}, [{"B": 1, "S": 1}, {"B": 3, "S": 50}]
    export_and_compare(Rotary(), uniform(2, 5, 8), dynamic_axes=axes, sizes=sizes)
