"""Complex inputs, weights and outputs of a whole model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness import Function, export, export_and_compare
from lower.ops.inputs import uniform
from torchtract import TractNNEF, check_io, export_model_to_nnef, load
from torchtract.errors import MismatchError, UnsupportedOpError


def numbers(*shape: int, dtype: torch.dtype = torch.complex64) -> torch.Tensor:
    parts = uniform(*shape, 2).to(dtype.to_real())
    return torch.view_as_complex(parts)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_inputs_and_outputs(dtype: torch.dtype) -> None:
    export_and_compare(
        lambda z: (z, z.conj(), z * 2j, z.real, torch.view_as_real(z), z[0], z),
        numbers(2, 3, dtype=dtype),
        dynamic_axes={"x0": {0: "B", 1: "S"}},
        sizes=[{"B": 1, "S": 1}, {"B": 3, "S": 5}],
    )


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1)])
def test_scalars_and_empty_tensors(shape: tuple[int, ...]) -> None:
    export_and_compare(lambda z: (z, -z, z.conj(), z + 1, z.abs()), numbers(*shape))


class Turned(torch.nn.Module):
    """Weights that share memory, seen with and without PyTorch's bits for lazy changes of sign."""

    turned: torch.Tensor
    part: torch.Tensor
    negative: torch.Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        weight = numbers(size)
        self.weight = torch.nn.Parameter(weight)
        self.register_buffer("turned", weight.conj())
        self.register_buffer("part", weight.imag)
        self.register_buffer("negative", weight.conj().imag)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return z * self.weight, z * self.turned, self.turned, z + self.part, z + self.negative


@pytest.mark.parametrize("size", [1, 3])
def test_weights(size: int) -> None:
    export_and_compare(Turned(size), numbers(size))


def test_an_input_with_lazy_changes_of_sign() -> None:
    export_and_compare(lambda z, x: (z * 2, x + z), numbers(3).conj(), numbers(3).conj().imag)


def test_constants() -> None:
    export_and_compare(
        lambda z: (torch.tensor(1 + 2j), z + torch.tensor([1j, 2.0]), torch.tensor(2j)), numbers(2)
    )


def test_names_of_outputs() -> None:
    model = export(
        lambda z: (z, z.abs(), z), numbers(3), input_names=["z"], output_names=["a", "b", "c"]
    )
    assert model.properties["torchtract.complex"] == "z a c"
    assert [fact.dtype for fact in model.outputs] == ["complex64", "float32", "complex64"]


def test_the_check_compares_complex_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.nnef.tar"
    target = TractNNEF(dynamic_axes={"x": {0: "B"}})
    module = Function(lambda x: x * 2j).eval()
    export_model_to_nnef(module, numbers(3), path, target, input_names=["x"])
    report = check_io(module, load(path), numbers(3))
    assert {row.dtype for row in report.rows} == {"complex64"}
    with pytest.raises(MismatchError, match=r"worst at \[\d\]: tract \(.*j\), PyTorch \("):
        check_io(Function(lambda x: x * 3j), load(path), numbers(3))


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
def test_halves_are_refused() -> None:
    half = torch.view_as_complex(uniform(3, 2).half())
    with pytest.raises(UnsupportedOpError, match=r"input 'x0'.*numpy has no complex32; make it"):
        export(torch.real, half)
    with pytest.raises(UnsupportedOpError, match=r"an output.*numpy has no complex32"):
        export(torch.view_as_complex, uniform(3, 2).half())
