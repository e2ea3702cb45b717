"""Torchaudio's recursive filters give its numbers at every length and batch size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
from torch import Tensor, nn
from torchaudio.functional import lfilter

from harness import export, export_and_compare
from lower.ops.inputs import HALF, uniform
from torchtract import TractNNEF, check_stream, export_model_to_nnef

AXES = {"x0": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 1}, {"B": 4, "S": 1}, {"B": 1, "S": 2}, {"B": 3, "S": 300}]

#: Of three filters, the first of which rings.
A = torch.tensor([[1.0, -1.7, 0.9], [2.0, 0.8, 0.0], [-0.5, 0.1, 0.2]])
B = torch.tensor([[0.3, 0.1, 0.2], [0.5, 0.0, 0.4], [0.1, 0.3, -0.2]])


def of_order(order: int) -> tuple[Tensor, Tensor]:
    """Coefficients of a filter whose outputs die away."""
    a = uniform(order + 1, low=-0.9, high=0.9, seed=1) / max(order, 1)
    return torch.cat([torch.tensor([1.5]), a[1:]]), uniform(order + 1, seed=2)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_orders(order: int, dtype: torch.dtype) -> None:
    a, b = (t.to(dtype) for t in of_order(order))
    x = uniform(2, 20, low=-0.3, high=0.3).to(dtype)

    export_and_compare(
        lambda x: lfilter(x, a, b, clamp=False), x, dynamic_axes=AXES, sizes=SIZES, atol=1e-6
    )


def test_coefficients_are_taken_in_torchaudio_s_order() -> None:
    """Poles at the edge of what is stable, where other roundings would soon be seen."""
    poles = torch.tensor([1.0, -2 * 0.9995, 0.9995**2])
    ones = torch.tensor([1.0, 0.0, 0.0])
    model = export(
        lambda x: lfilter(x, poles, ones, clamp=False), uniform(2, 20), dynamic_axes=AXES
    )
    x = uniform(3, 4000, seed=1)

    (y,) = model.compile().run({"x0": x}).values()

    torch.testing.assert_close(torch.tensor(y), lfilter(x, poles, ones, False), rtol=1e-5, atol=0)


@pytest.mark.parametrize("last", [[0.0], [0.5, 0.0], [0.0, 0.5], [0.0, 0.0]], ids=str)
@pytest.mark.parametrize("computed", [False, True])
def test_coefficients_of_zero(last: list[float], computed: bool) -> None:
    """As shorter filters are filled up with, which leave outputs unread."""
    a, b = torch.tensor([2.0, *last]), torch.ones(len(last) + 1)

    def filtered(x: Tensor) -> Tensor:
        first = x.new_full([1], 2.0)
        rest = [x.new_full([1], number) for number in last]
        y: Tensor = lfilter(x, torch.cat([first, *rest]) if computed else a, b, clamp=False)
        return y

    export_and_compare(filtered, uniform(2, 20), dynamic_axes=AXES, sizes=SIZES)


@pytest.mark.parametrize("sizes", [(2, 1), (1, 5)])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_fixed_sizes(sizes: tuple[int, int], order: int) -> None:
    # A single step is no loop for tract, which then meets the outputs before it as they are.
    a, b = of_order(order)
    export_and_compare(lambda x: lfilter(x, a, b), uniform(*sizes, low=-0.3, high=0.3))


@pytest.mark.parametrize("batching", [False, True])
def test_several_filters(batching: bool) -> None:
    shape, time = ((2, 3, 20), 2) if batching else ((2, 20), 1)
    export_and_compare(
        lambda x: lfilter(x, A, B, batching=batching),
        uniform(*shape, low=-0.5, high=0.5),
        dynamic_axes={"x0": {0: "B", time: "S"}},
        sizes=SIZES,
    )


def test_without_a_batch_axis() -> None:
    axes, sizes = {"x0": {0: "S"}}, [{"S": 1}, {"S": 300}]
    export_and_compare(
        lambda x: lfilter(x, A[0], B[0]), uniform(20), dynamic_axes=axes, sizes=sizes
    )


def test_computed_coefficients() -> None:
    def filtered(x: Tensor, gain: Tensor) -> Tensor:
        a = A[0] * torch.stack([gain + 2, gain, gain])
        y: Tensor = lfilter(x, a, B[0] + gain, clamp=False)
        return y

    axes = AXES | {"x1": {}}
    gain = torch.tensor(0.7)
    export_and_compare(filtered, uniform(2, 20), gain, dynamic_axes=axes, sizes=SIZES)


def test_one_filter_for_each_row() -> None:
    def filtered(x: Tensor, poles: Tensor) -> Tensor:
        a = torch.cat([torch.ones_like(poles), poles], 1)
        y: Tensor = lfilter(x, a, torch.cat([poles, poles * 0.5], 1))
        return y

    axes = AXES | {"x1": {0: "B"}}
    x, poles = uniform(2, 20), uniform(2, 1, low=-0.9, high=0.9)
    export_and_compare(filtered, x, poles, dynamic_axes=axes, sizes=SIZES)


def test_half_precision_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CPUs torchaudio filters none, so that the numbers are those of its loop in Python."""
    filtering: Any = torchaudio.functional.filtering
    monkeypatch.setattr(filtering, "_lfilter_core_loop", filtering._lfilter_core_generic_loop)
    a, b = A[1].half(), B[1].half()
    x = uniform(2, 20).half()

    export_and_compare(
        lambda x: lfilter(x, a, b, clamp=False), x, dynamic_axes=AXES, sizes=SIZES, **HALF
    )


def biquads() -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    F = torchaudio.functional
    return [
        ("allpass", lambda x: F.allpass_biquad(x, 16000, 500.0)),
        ("band", lambda x: F.band_biquad(x, 16000, 500.0)),
        ("bandpass", lambda x: F.bandpass_biquad(x, 16000, 500.0)),
        ("bandreject", lambda x: F.bandreject_biquad(x, 16000, 500.0)),
        ("bass", lambda x: F.bass_biquad(x, 16000, 6.0)),
        ("equalizer", lambda x: F.equalizer_biquad(x, 16000, 500.0, 6.0)),
        ("highpass", lambda x: F.highpass_biquad(x, 16000, 500.0)),
        ("lowpass", lambda x: F.lowpass_biquad(x, 16000, 500.0)),
        ("treble", lambda x: F.treble_biquad(x, 16000, 6.0)),
        ("riaa", lambda x: F.riaa_biquad(x, 44100)),
        ("deemph", lambda x: F.deemph_biquad(x, 44100)),
        ("deemphasis", F.deemphasis),
        ("filtfilt", lambda x: F.filtfilt(x, A[1], B[1])),
        ("two in a row", lambda x: F.bass_biquad(F.treble_biquad(x, 16000, 3.0), 16000, 3.0)),
        ("gain learned", nn.Sequential(Gained(), nn.Tanh())),
    ]


class Gained(nn.Module):
    """A filter whose gain is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torchaudio.functional.equalizer_biquad(x, 16000, 500.0, self.gain)
        return y


@pytest.mark.parametrize("module", [pytest.param(module, id=name) for name, module in biquads()])
def test_biquads(module: Callable[[Tensor], Tensor]) -> None:
    export_and_compare(
        module,
        uniform(2, 20, low=-0.5, high=0.5),
        input_names=["x0"],
        dynamic_axes=AXES,
        sizes=SIZES,
    )


def test_a_pulse_of_a_filter_is_its_batch(tmp_path: Path) -> None:
    path = tmp_path / "deemphasis.nnef.tgz"
    target = TractNNEF(dynamic_axes={"waveform": {0: "B", 1: "S"}}, check_stream={"S": 8})

    module = torchaudio.transforms.Deemphasis().eval()
    export_model_to_nnef(module, (uniform(2, 20),), path, target)

    assert path.exists()
    model = export(lambda x: lfilter(x, A[0], B[0]), uniform(2, 20), dynamic_axes=AXES)
    assert max(row.frames for row in check_stream(model, S=1).rows) >= 2
