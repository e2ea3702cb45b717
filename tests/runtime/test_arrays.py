from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from torchtract import Runnable, load
from torchtract.errors import RunError

WriteModel = Callable[..., Path]

TRACT_NAMES = {
    "bool": "bool", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
    "float16": "f16", "float32": "f32", "float64": "f64",
    "complex64": "complexf32", "complex128": "complexf64",
}  # fmt: skip


def values(dtype: str) -> np.ndarray[Any, Any]:
    """Six numbers, the extremes of the type among them."""
    numbers = np.array([[0, 1, 2], [3, 100, 101]])
    array = numbers % 2 == 1 if dtype == "bool" else numbers.astype(dtype)
    if np.issubdtype(dtype, np.integer):
        array[0, :2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif np.issubdtype(dtype, np.floating):
        array[0] = np.finfo(dtype).max, np.finfo(dtype).tiny, -0.0
    elif np.issubdtype(dtype, np.complexfloating):
        array[0] *= 1 - 2j
    return array


@pytest.fixture
def identity(write_model: WriteModel) -> Callable[..., Runnable]:
    """Compiles a model that gives back its input, any number of axes symbolic."""

    def compile_(dtype: str, rank: int = 2) -> Runnable:
        names = [f"S{i}" for i in range(rank)]
        graph = (
            "".join(f"extension tract_symbol {name};\n" for name in names)
            + f"""
            graph net(x) -> (x) {{
                x = tract_core_external(
                    shape = [{", ".join(names)}], datum_type = '{TRACT_NAMES[dtype]}');
            }}
        """
        )
        return load(write_model(graph)).compile()

    return compile_


@pytest.mark.parametrize("dtype", TRACT_NAMES)
def test_every_dtype_goes_in_and_comes_out(identity: Callable[..., Runnable], dtype: str) -> None:
    runnable = identity(dtype)
    assert runnable.inputs[0].dtype == dtype
    x = values(dtype)
    y = runnable(x)
    assert y.dtype == x.dtype
    assert y.tobytes() == x.tobytes()


@pytest.mark.parametrize("dtype", TRACT_NAMES)
def test_layouts(identity: Callable[..., Runnable], dtype: str) -> None:
    runnable, x = identity(dtype), values(dtype)
    frozen = x.copy()
    frozen.flags.writeable = False
    swapped = x.astype(x.dtype.newbyteorder("S"))
    for view in (x.T, x[::-1, ::-1], x[:, 1:], np.asfortranarray(x), frozen, swapped, x[:, :0]):
        np.testing.assert_array_equal(runnable(view), view)
        assert runnable(view).dtype == x.dtype


def test_an_array_at_an_odd_address(identity: Callable[..., Runnable]) -> None:
    x = np.zeros(25, np.uint8)[1:].view(np.float32).reshape(2, 3)
    assert not x.flags.aligned
    np.testing.assert_array_equal(identity("float32")(x), x)


def test_subclasses_of_arrays(identity: Callable[..., Runnable], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", values("float32"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(identity("float32")(mapped), mapped)
    masked = np.ma.masked_array(values("float32"))
    assert type(identity("float32")(masked)) is np.ndarray


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (2, 0, 3), (1, 1, 1), (1,) * 7])
def test_shapes(identity: Callable[..., Runnable], shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    y = identity("float32", len(shape))(x)
    assert isinstance(y, np.ndarray)
    assert (y.shape, y.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(y, x)


def test_scalars_and_lists(identity: Callable[..., Runnable]) -> None:
    assert identity("float64", 0)(2.5) == 2.5
    np.testing.assert_array_equal(identity("int64", 1)([1, 2]), [1, 2])
    np.testing.assert_array_equal(identity("bool", 1)((True, False)), [True, False])


@pytest.mark.parametrize("dtype", TRACT_NAMES)
def test_torch_tensors(identity: Callable[..., Runnable], dtype: str) -> None:
    runnable, x = identity(dtype), torch.from_numpy(values(dtype))
    np.testing.assert_array_equal(runnable(x), x)
    np.testing.assert_array_equal(runnable(x.T), x.T)
    if x.is_floating_point():
        np.testing.assert_array_equal(runnable(x.clone().requires_grad_()), x)
    if x.is_complex():
        np.testing.assert_array_equal(runnable(x.conj()), x.conj().resolve_conj())


def test_bfloat16_is_widened(identity: Callable[..., Runnable]) -> None:
    x = np.array([[1.5, -0.0, np.inf]], ml_dtypes.bfloat16)
    for value in (x, torch.tensor([[1.5, -0.0, torch.inf]], dtype=torch.bfloat16)):
        np.testing.assert_array_equal(identity("float32")(value), x.astype(np.float32))
    with pytest.raises(RunError, match="the dtype must be float16"):
        identity("float16")(x)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "longdouble", "clongdouble", "datetime64[s]"])
def test_types_that_tract_lacks(identity: Callable[..., Runnable], dtype: str) -> None:
    x = np.zeros((2, 3), getattr(ml_dtypes, dtype, dtype))
    with pytest.raises(RunError, match=r"input x: got a ndarray of .*, which tract lacks"):
        identity("float32")(x)


def test_a_meta_tensor(identity: Callable[..., Runnable]) -> None:
    with pytest.raises(RunError, match="input x: a Tensor is no array"):
        identity("float32")(torch.zeros(2, 3, device="meta"))


def test_torch_is_not_imported(relu: Path) -> None:
    code = (
        "import sys, numpy as np, torchtract as tt\n"
        f"y = tt.load({str(relu)!r}).compile()(np.asfortranarray(np.ones((2, 8), 'f4')))\n"
        "assert y.sum() == 16 and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
