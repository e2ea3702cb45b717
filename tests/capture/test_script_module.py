"""ScriptModules: exported at fixed sizes, refused where a size could have become a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from harness import export, export_and_compare
from torchtract.errors import CaptureError, UnsupportedOpError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

Script = Callable[[nn.Module, torch.Tensor], torch.jit.ScriptModule]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(image) * image.shape[0]}


class SizesBecomeNumbers(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 2:
            x = x + 1
        return x.reshape(x.shape[0] * 2, 2)


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return x + 1
        return x - 1


class Loop(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(x.shape[0]):
            y = y + i * x
        return y


def traced(module: nn.Module, x: torch.Tensor) -> torch.jit.ScriptModule:
    result: torch.jit.ScriptModule = torch.jit.trace(module.eval(), x, strict=False)
    return result


def scripted(module: nn.Module, _: torch.Tensor) -> torch.jit.ScriptModule:
    result: torch.jit.ScriptModule = torch.jit.script(module.eval())
    return result


@pytest.mark.parametrize("script", [traced, scripted])
def test_fixed_sizes(script: Script) -> None:
    image = torch.rand(2, 3, 8, 8)
    model = export_and_compare(script(Network(), image), image)
    assert [fact.name for fact in model.inputs] == ["image"]
    assert [fact.name for fact in model.outputs] == ["logits"]
    x = image[0, 0, :3, :4]
    export_and_compare(script(SizesBecomeNumbers(), x), x)


# The converter gives `reshape(x, [6, 2])` for one and drops the branch of the other.
@pytest.mark.parametrize("script", [traced, scripted])
def test_dynamic_axes_are_refused(script: Script) -> None:
    x = torch.rand(3, 4)
    with pytest.raises(CaptureError, match=r"SizesBecomeNumbers.*dynamic axes.*Python module"):
        export(script(SizesBecomeNumbers(), x), x, dynamic_axes={"x": {0: "B"}})


def test_what_the_converter_cannot_do_is_refused() -> None:
    x = torch.rand(3, 4)
    with pytest.raises(CaptureError, match=r"Loop.*converter fails.*prim::Loop.*Python module"):
        export(scripted(Loop(), x), x)
    with pytest.raises(CaptureError, match=r"keyword arguments \(x\)"):
        export(scripted(Branch(), x), kwargs={"x": x})
    with pytest.raises(UnsupportedOpError, match=r"cond.*NNEF has one"):
        export(scripted(Branch(), x), x)
