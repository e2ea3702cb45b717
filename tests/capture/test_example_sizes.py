"""At which sizes a module is traced: its axes must not shrink to 1 there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram
from torchvision.models import mobilenet_v3_small

from harness import export_and_compare
from torchtract.capture import Capture, capture
from torchtract.capture.trace import Tracer
from torchtract.errors import CaptureError
from torchtract.sizes import Assertion

AXES = {"x": {0: "B", 2: "H", 3: "W"}}


def halving(times: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(times)))


class Weighted(nn.Module):
    """Halved five times and scaled by a mean, whose axes of 1 are there at all sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = halving(5), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        scaled: torch.Tensor = self.norm(x * nn.functional.adaptive_avg_pool2d(x, 1).sigmoid())
        return scaled


class Last(nn.Module):
    """A slice whose length is one, of which the tracer may have an expression of H all the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, slice(-1, None)].relu()


class First(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :1] + x[:, :, -1:]


def captured(
    model: nn.Module, height: int, width: int, assertions: tuple[str, ...] = ()
) -> Capture:
    x = torch.rand(2, 4, height, width)
    promises = [Assertion.parse(line) for line in assertions]
    return capture(model.eval(), [x], dynamic_axes=AXES, assertions=promises)


def test_an_example_may_be_smaller_than_what_the_network_halves() -> None:
    blocks = mobilenet_v3_small(weights=None).features
    halved = nn.Sequential(*blocks[4:8], blocks[9]).eval()
    export_and_compare(
        halved,
        torch.rand(2, 24, 4, 8),
        dynamic_axes=AXES,
        input_names=["x"],
        sizes=[{"H": 33, "W": 7}, {"H": 1, "W": 16, "B": 1}],
    )


def test_sizes_are_doubled_until_no_axis_shrinks_to_one() -> None:
    assert captured(Weighted(), 40, 24).sizes == {"B": 2, "H": 40, "W": 48}
    assert captured(Weighted(), 8, 70).sizes == {"B": 2, "H": 64, "W": 70}
    assert captured(Weighted(), 64, 70).sizes == {"B": 2, "H": 64, "W": 70}


@pytest.mark.parametrize("model", [First(), Last()], ids=["first", "last"])
def test_an_axis_that_is_one_at_all_sizes_is_not_waited_for(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []
    trace = Tracer.trace

    def counted(self: Tracer, sizes: Mapping[str, int]) -> ExportedProgram:
        traced.append(sizes)
        return trace(self, sizes)

    monkeypatch.setattr(Tracer, "trace", counted)
    captured(model, 8, 9, ("H >= 1", "W >= 0"))
    assert traced == [{"B": 2, "H": 8, "W": 9}]


def test_sizes_stay_within_the_assertions() -> None:
    sizes = captured(Weighted(), 16, 24, ("H <= 40", "H >= 4")).sizes
    assert sizes["H"] <= 40


def test_a_refusal_is_about_the_example() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.zeros(x.shape[2], 9)

    with pytest.raises(CaptureError, match="needs the size to be 9"):
        captured(Fixed(), 8, 9)
