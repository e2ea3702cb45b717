"""`int()`, `float()` and `range()` in a model's code: of sizes, and of what tensors hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import export, export_and_compare
from torchtract.errors import CaptureError, UnsupportedOpError

X = torch.rand(3, 8, generator=torch.Generator().manual_seed(0)) * 9
AXES = {"x": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 5}, {"B": 2, "S": 1}, {"B": 4, "S": 23}]
LENGTHS = torch.tensor([8, 3, 5])


class Halved(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        n = int(x.shape[1] / 2)
        assert isinstance(n, int)
        assert not isinstance(x.sum(), float)
        return x[:, n:] * float(n), torch.full((n,), int("3"))


class Counted(nn.Module):
    """Sizes that are known, converted one by one."""

    def forward(self, x: torch.Tensor) -> Any:
        rows, columns = map(int, x.shape)
        return x.reshape(int(rows * columns))


class Picked(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x[:, : int(x[0, 0])] + x.sum()


class UpTo(nn.Module):
    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        return x[:, : int(lengths.min())] * 2


class Typed(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x[:, : int(x.shape[1])] * torch.ones(1, dtype=int)  # type: ignore[call-overload]


class Chunked(nn.Module):
    """Goes through chunks, one of all frames by default, as EnCodec does."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: torch.Tensor) -> Any:
        length = x.shape[1] * self.parts
        frames = torch.cat([x] * self.parts, 1)
        steps = range(0, length, x.shape[1])
        return torch.stack([frames[:, i : i + x.shape[1]] * (i + 1) for i in steps])


@pytest.mark.parametrize("module", [Halved(), Counted(), Chunked(1), Chunked(3)])
def test_numbers_of_sizes_stay_symbolic(module: nn.Module) -> None:
    export_and_compare(module, X, dynamic_axes=AXES, sizes=SIZES)


def test_a_number_in_a_tensor_can_be_a_bound() -> None:
    axes = {"x": {1: "S"}}
    model = export(UpTo(), X, LENGTHS, dynamic_axes=axes).compile()
    for lengths in ([8, 3, 5], [7, 9, 8], [1, 1, 1]):
        inputs = {"x": X, "lengths": torch.tensor(lengths)}
        torch.testing.assert_close(
            torch.from_numpy(next(iter(model.run(inputs).values()))), UpTo()(*inputs.values())
        )


def test_a_number_of_a_fraction_is_refused_with_its_line() -> None:
    with pytest.raises(UnsupportedOpError, match=r"test_symbolic_int\.py:\d+: .* rounds"):
        export(Picked(), X, dynamic_axes=AXES)


def test_what_needs_the_type_itself_is_refused_as_before() -> None:
    with pytest.raises(CaptureError, match=r"needs the size to be 8"):
        export(Typed(), X, dynamic_axes=AXES)
    assert "int" not in vars(sys.modules[__name__])


HELPER = """
{own}
def half(x):
    return int(x.shape[1] / 2)
"""


@pytest.mark.parametrize("own", ["", "int = __import__('math').trunc"])
def test_helpers_in_other_files_are_found(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"helper_{len(own)}"
    (tmp_path / f"{name}.py").write_text(HELPER.format(own=own))
    monkeypatch.syspath_prepend(tmp_path)
    helper: Any = __import__(name)
    before = dict(vars(helper))

    export_and_compare(
        lambda x: x[:, : helper.half(x)], X, dynamic_axes={"x0": {1: "S"}}, sizes=[{"S": 5}]
    )
    assert vars(helper) == before
