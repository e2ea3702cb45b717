"""Recursive filters stay one operator while tracing, and that operator is torchaudio's filter."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torchaudio.functional import filtering, lfilter

from torchtract.recursive_filters import whole_recursive_filters

A = torch.tensor([[1.0, -1.7, 0.9], [2.0, 0.8, 0.1]])
B = torch.tensor([[0.3, 0.1, 0.2], [0.5, 0.0, 0.4]])


class Filtered(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = lfilter(x, A, B)
        return y


def traced(x: Tensor) -> torch.export.ExportedProgram:
    axes = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC},)
    with whole_recursive_filters(), torch.no_grad():
        return torch.export.export(Filtered(), (x,), dynamic_shapes=axes, strict=False)


def calls(program: torch.export.ExportedProgram) -> list[torch.fx.Node]:
    operator = torch.ops.torchtract.lfilter.default
    return [node for node in program.graph.nodes if node.target is operator]


def test_a_filter_is_traced_whole_and_sizes_stay_symbolic() -> None:
    program = traced(torch.rand(3, 2, 7))

    (call,) = calls(program)
    batch, filters, samples = call.meta["val"].shape
    assert filters == 2
    assert not isinstance(batch, int)
    assert not isinstance(samples, int)


@pytest.mark.parametrize("loop", ["_lfilter_core_loop", "_lfilter_core_generic_loop"])
def test_the_operator_is_the_filter(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtering, "_lfilter_core_loop", getattr(filtering, loop))
    program = traced(torch.rand(3, 2, 7))

    for sizes in ((3, 2, 7), (1, 2, 1), (5, 2, 40)):
        x = torch.randn(sizes)
        kept = x.clone()
        given = program.module()(x)
        torch.testing.assert_close(given, Filtered()(x), rtol=0, atol=0)
        assert torch.equal(x, kept)


def test_it_leaves_its_arguments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtering, "_lfilter_core_loop", filtering._lfilter_core_generic_loop)
    x = torch.randn(2, 2, 9)
    torch.library.opcheck(torch.ops.torchtract.lfilter.default, (x, A))
    torch.library.opcheck(torch.ops.torchtract.lfilter.default, (x.mT.contiguous().mT, A[:, :1]))


def test_outside_of_the_context_nothing_changes() -> None:
    apply: Any = filtering.DifferentiableIIR.apply
    with whole_recursive_filters():
        assert filtering.DifferentiableIIR.apply != apply
    assert filtering.DifferentiableIIR.apply == apply
    assert "apply" not in vars(filtering.DifferentiableIIR)


def test_torchaudio_is_not_imported() -> None:
    program = (
        "import sys; from torchtract import recursive_filters, export_model_to_nnef\n"
        "with recursive_filters.whole_recursive_filters(): pass\n"
        "assert 'torchaudio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
