"""Complex inputs and outputs: numpy's complex numbers here, pairs of real ones in the file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import export
from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.errors import PoolError, RunError
from torchtract.runtime import Fact, Model, PulsedModel, PulsedRunnable


def numbers(*shape: int, dtype: torch.dtype = torch.complex64) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def mixed(z: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return z * x, z.real - x, z.conj()


@pytest.fixture(scope="module")
def model() -> Model:
    return export(mixed, numbers(2, 3), torch.ones(3), dynamic_axes={"x0": {0: "B"}})


def test_facts_are_of_complex_numbers(model: Model) -> None:
    assert model.inputs == (Fact("x0", "complex64", ("B", 3)), Fact("x1", "float32", (3,)))
    assert [fact.spec for fact in model.outputs] == ["B,3,ComplexF32", "B,3,F32", "B,3,ComplexF32"]
    assert model.properties["torchtract.complex"] == "x0 output_0 output_2"
    assert model.set(B=4).outputs[0].shape == (4, 3)
    assert model.compile().inputs == model.inputs
    assert "x0        B,3,ComplexF32" in repr(model)


def test_the_file_has_pairs(model: Model) -> None:
    facts = {node.name: node.outputs[0] for node in model.nodes()}
    assert facts["x0"] == Fact("x0", "float32", ("B", 3, 2))
    assert facts["output_0"].shape == ("B", 3, 2)


def test_outputs_are_views(model: Model) -> None:
    product, difference, conjugate = model.compile()(numbers(5, 3), np.ones(3, np.float32))
    assert (product.dtype, product.shape) == (np.complex64, (5, 3))
    assert difference.dtype == np.float32
    assert product.base is not None
    assert product.flags.c_contiguous
    assert product.flags.writeable
    np.testing.assert_array_equal(conjugate, product.conj())


#: Ways to pass the same complex numbers.
GIVEN: dict[str, Callable[[torch.Tensor], Any]] = {
    "array": lambda z: z.numpy(),
    "other_byte_order": lambda z: z.numpy().astype(">c16"),
    "other_order": lambda z: np.asfortranarray(z.numpy()),
    "strided": lambda z: z.numpy().repeat(2, 1)[:, ::2],
    "numbers": lambda z: z.tolist(),
    "tensor": lambda z: z,
    "lazily_conjugated": lambda z: z.conj().resolve_conj().conj(),
    "transposed": lambda z: z.mT.contiguous().mT,
}


@pytest.mark.parametrize("how", GIVEN)
def test_what_can_be_given(how: str) -> None:
    z = numbers(2, 3, dtype=torch.complex128)
    output = export(lambda z: -z, z).compile()(GIVEN[how](z))
    assert output.dtype == np.complex128
    np.testing.assert_array_equal(output, -z.numpy())


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0)])
def test_scalars_and_empty_arrays(shape: tuple[int, ...]) -> None:
    z = numbers(*shape)
    negative, same = export(lambda z: (-z, z), z).compile()(z)
    assert isinstance(negative, np.ndarray)
    assert (negative.dtype, negative.shape) == (np.complex64, shape)
    np.testing.assert_array_equal(negative, -z.numpy())
    np.testing.assert_array_equal(same, z.numpy())


Z = "input x0: B,3,ComplexF32: got"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.ones((2, 3), np.float32), f"{Z} float32 (2, 3): the dtype must be complex64"),
        (np.ones((2, 3, 2), np.float32), f"{Z} float32 (2, 3, 2): the dtype must be complex64"),
        (np.ones((2, 3), np.complex128), f"{Z} complex128 (2, 3): the dtype must be complex64"),
        (np.ones(3, np.complex64), f"{Z} complex64 (3,): the shape must have 2 axes"),
        (np.ones((2, 4), np.complex64), f"{Z} complex64 (2, 4): axis 1 must be 3"),
        ("text", "input x0: got a str of <U4, which tract lacks"),
    ],
)
def test_errors_tell_of_complex_numbers(model: Model, value: Any, told: str) -> None:
    runnable = model.compile()
    with pytest.raises(RunError) as error:
        runnable(value, np.ones(3, np.float32))
    assert str(error.value) == told
    with pytest.raises(RunError) as error:
        runnable.profile(value, np.ones(3, np.float32))
    assert str(error.value) == told


def test_errors_about_sizes_of_one_axis() -> None:
    runnable = export(torch.neg, numbers(3)).compile()
    with pytest.raises(RunError) as error:
        runnable(np.ones(2, np.complex64))
    assert str(error.value) == "input x0: 3,ComplexF32: got complex64 (2,): axis 0 must be 3"
    with pytest.raises(RunError, match=r"the model takes 1: x0: 3,ComplexF32$"):
        runnable(np.ones(3, np.complex64), 1)


def test_a_fact_is_not_taken_for_one_whose_name_ends_like_it() -> None:
    runnable = export(
        lambda a, b: (-a, b + 1), numbers(3), torch.ones(3, 2), input_names=["x", "xx"]
    ).compile()
    with pytest.raises(RunError) as error:
        runnable(numbers(3), torch.ones(4, 2))
    assert str(error.value) == "input xx: 3,2,F32: got float32 (4, 2): axis 0 must be 3"


def test_profiles_and_copies(model: Model) -> None:
    assert model.profile(numbers(4, 3), torch.ones(3), iterations=2).iterations == 2
    assert model.set(B=4).profile(iterations=2).iterations == 2
    runnable = pickle.loads(pickle.dumps(model.compile()))
    assert runnable.run({"x0": numbers(4, 3), "x1": np.ones(3, "f4")})["output_0"].dtype == "c8"
    assert pickle.loads(pickle.dumps(model)).inputs == model.inputs


def test_models_without_complex_numbers_run_the_native_function() -> None:
    runnable = export(torch.neg, torch.ones(3, 2)).compile()
    assert runnable._run == runnable._native.run
    assert runnable.inputs == (Fact("x0", "float32", (3, 2)),)


class Smoothed(torch.nn.Module):
    """Frames of complex numbers, their neighbours' real parts added, times a gain."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 1, 3)

    def forward(self, z: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        real, imag = (self.conv(part[:, None])[:, 0] for part in (z.real, z.imag))
        return torch.complex(real, imag) * gain, imag


@pytest.fixture(scope="module")
def pulsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, PulsedModel]:
    path = tmp_path_factory.mktemp("complex") / "model.nnef.tar"
    target = TractNNEF(dynamic_axes={"z": {1: "S"}}, check_stream={"S": 4})
    export_model_to_nnef(Smoothed().eval(), (numbers(2, 16), numbers(1)), path, target)
    model = load(path)
    return model, model.pulse(S=4)


def test_streams(pulsed: tuple[Model, PulsedModel], tmp_path: Path) -> None:
    batch, model = pulsed
    model.save(tmp_path / "pulsed.nnef.tar")
    saved = load(tmp_path / "pulsed.nnef.tar")
    assert isinstance(saved, PulsedModel)
    z, gain = numbers(2, 16).numpy(), numbers(1).numpy()
    expected, _ = batch.compile()(z, gain)
    again: PulsedRunnable = pickle.loads(pickle.dumps(model.compile()))
    for runnable in (model.compile(), saved.compile(), again):
        assert runnable.inputs[0] == Fact("z", "complex64", (2, 4))
        stream = runnable.stream(gain=gain)
        pieces = [stream.push(z[:, :5]), stream.fork().push(z=z[:, 5:]), stream.push(z[:, 5:])]
        pieces = [pieces[0], pieces[2], stream.flush()]
        assert all(piece[0].dtype == np.complex64 for piece in pieces)
        np.testing.assert_allclose(np.concatenate([p[0] for p in pieces], 1), expected, rtol=1e-5)


def test_streams_of_a_pool(pulsed: tuple[Model, PulsedModel]) -> None:
    z = numbers(2, 16)
    pool = pulsed[1].compile().streams(2)
    first, second = (pool.stream(gain=numbers(1)) for _ in range(2))
    given = pool.push({first: z[:, :8], second: {"z": z[:, :4]}})
    assert [g[0].shape for g in given.values()] == [(2, 6), (2, 2)]
    with pytest.raises(PoolError, match=r"1 of 2.*z: 2,S,ComplexF32: got complex64 \(1, 8\)"):
        pool.push({first: z[:1, :8], second: z[:, :4]})
    assert pool.flush([first])[first][0].dtype == np.complex64


def test_errors_of_streams(pulsed: tuple[Model, PulsedModel]) -> None:
    runnable = pulsed[1].compile()
    with pytest.raises(RunError, match=r"gain: 1,ComplexF32: got float64 \(\): the dtype must be"):
        runnable.stream(gain=1.0)
    with pytest.raises(RunError, match="input gain: 1,ComplexF32: missing"):
        runnable.stream()
    stream = runnable.stream(gain=numbers(1))
    with pytest.raises(RunError, match=r"z: 2,S,ComplexF32: got complex64 \(1, 5\): axis 0 must"):
        stream.push(numbers(1, 5))
    with pytest.raises(RunError, match=r"got float32 \(2, 5\): the dtype must be complex64"):
        stream.push(torch.ones(2, 5))
    assert stream.position == 0
