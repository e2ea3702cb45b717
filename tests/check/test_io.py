"""check_io: which sizes it tries, what it compares, and what it says about a difference."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from harness import export
from torchtract import check_io
from torchtract.check.example import Example
from torchtract.errors import ConstantReferenceWarning, MismatchError, RunError
from torchtract.runtime import Model


class Scaled(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * self.factor + 1, y + 1


AXES = {"x": {0: "B", 1: "S"}, "y": {0: "B"}}


def example() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(4, 6), torch.arange(4)


def exported(*assertions: str) -> Model:
    lines = [f"tract_assert {a}" for a in assertions]
    return export(Scaled(), *example(), dynamic_axes=AXES, custom_extensions=lines)


def test_every_symbol_is_tried_at_several_sizes_the_smallest_among_them() -> None:
    report = check_io(Scaled().eval(), exported(), example())
    tried = [row.sizes for row in report.rows if row.output == "output_0"]
    assert tried[0] == {"B": 4, "S": 6}
    assert {s["B"] for s in tried} == {1, 4, 5}
    assert {s["S"] for s in tried} == {1, 6, 7}
    assert all(row.comparison.ok for row in report.rows)


@pytest.mark.parametrize(
    ("assertions", "smallest"),
    [((), 1), (("B >= 0",), 0), (("B >= 3",), 3), (("B <= 4",), 1), (("B + S < 11",), 1)],
)
def test_assertions_bound_the_sizes(assertions: tuple[str, ...], smallest: int) -> None:
    model = exported(*assertions)
    tried = list(Example(model, example(), {}).other_sizes())
    assert min(s["B"] for s in tried) == smallest
    if "B <= 4" in assertions:
        assert max(s["B"] for s in tried) == 4
    if "B + S < 11" in assertions:
        assert all(s["B"] + s["S"] < 11 for s in tried)


def test_each_scenario_is_tried_and_nothing_outside_of_them() -> None:
    model = exported("tg: B == 1", "pp: S == 1", "B >= 1")
    report = check_io(Scaled().eval(), model, example())
    tried = [row.sizes for row in report.rows if row.output == "output_0"]
    assert {"B": 4, "S": 6} not in tried
    assert any(sizes["B"] == 1 < sizes["S"] for sizes in tried)
    assert any(sizes["S"] == 1 < sizes["B"] for sizes in tried)


def test_sizes_can_be_given() -> None:
    report = check_io(Scaled().eval(), exported(), example(), sizes=[{"B": 9, "S": 2}])
    assert [row.shape for row in report.rows] == [(9, 2), (9,)]


def test_a_difference_is_reported_with_place_and_values() -> None:
    with pytest.raises(MismatchError, match=r"output 'output_0' at B=4, S=6") as mismatch:
        check_io(Scaled(1.5).eval(), exported(), example())
    assert mismatch.value.output == "output_0"
    assert mismatch.value.max_abs > 0
    assert len(mismatch.value.index) == 2


def test_a_difference_in_shape_or_type_is_a_mismatch() -> None:
    class Other(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + 1, y.float() + 1

    with pytest.raises(MismatchError, match=r"int64\[4\].*float32\[4\]"):
        check_io(Other().eval(), exported(), example())


def test_sizes_that_pytorch_refuses_are_left_out_and_reported() -> None:
    axes = {"x": {2: "S"}}
    convolution = nn.Conv1d(1, 1, 3).eval()
    model = export(convolution, torch.rand(1, 1, 8), dynamic_axes=axes, input_names=["x"])
    report = check_io(convolution, model, (torch.rand(1, 1, 8),))
    assert any(line.startswith("S=1:") for line in report.refused)
    assert {row.sizes["S"] for row in report.rows} == {8, 9}


def test_a_constant_reference_warns_and_another_does_not() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0

    model = export(Constant(), torch.rand(3, 4), dynamic_axes={"x": {0: "B"}})
    with pytest.warns(ConstantReferenceWarning, match="in PyTorch, 0.0, so .* shows nothing"):
        check_io(Constant().eval(), model, (torch.rand(3, 4),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_io(Scaled().eval(), exported(), example())


class Padded(nn.Module):
    """Frames beyond each length, the greatest of which is the number of frames."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        beyond = torch.arange(int(lengths.max())) >= lengths[:, None]
        fits = beyond.shape[1] == x.shape[1]
        torch._check_with(AssertionError, fits, lambda: "lengths that aren't those of the frames")
        return x.masked_fill(beyond, 0.0) * 2


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_lengths_follow_the_size_that_is_the_greatest_of_them(dtype: torch.dtype) -> None:
    x, lengths = torch.rand(3, 6), torch.tensor([2, 6, 4], dtype=dtype)
    axes = {"x": {0: "B", 1: "S"}, "lengths": {0: "B"}}
    model = export(Padded(), x, lengths, dynamic_axes=axes)
    report = check_io(Padded().eval(), model, (x, lengths))
    assert not report.refused
    assert {row.sizes["S"] for row in report.rows} == {1, 6, 7}
    args, _ = Example(model, (x, lengths), {}).with_lengths({"B": 4, "S": 3}) or ((), {})
    assert args[1].tolist() == [2, 3, 3, 2]
    assert args[1].dtype == dtype
    assert Example(model, (x, lengths - 1), {}).with_lengths({"B": 4, "S": 3}) is None


def test_arguments_and_levels_that_do_not_fit_are_refused() -> None:
    model = exported()
    with pytest.raises(RunError, match=r"1 tensors don't fit.*2 inputs"):
        check_io(Scaled().eval(), model, (torch.rand(4, 6),))
    with pytest.raises(ValueError, match=r"'loose'.*approximate"):
        check_io(Scaled().eval(), model, example(), tolerance="loose")


def test_the_report_reads_well() -> None:
    text = str(check_io(Scaled().eval(), exported(), example()))
    assert "output_0" in text
    assert "B=4 S=6" in text
