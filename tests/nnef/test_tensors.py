from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import ml_dtypes
import numpy as np
import pytest

from graphs import variable
from torchtract.errors import FormatError
from torchtract.nnef import Graph, Variable, read_tensor, write_archive, write_tensor
from torchtract.runtime import load

DTYPES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
]
SHAPES = [(), (1,), (0,), (3, 0, 2), (2, 3), (1, 2, 1, 2, 1, 2, 1, 3)]


def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values at both ends of the type's range, and some between."""
    count = int(np.prod(shape))
    kind = np.dtype(dtype)
    if kind == np.bool_:
        ends = np.array([True, False, False])
    elif kind.kind in "iu":
        ends = np.array([np.iinfo(kind).min, np.iinfo(kind).max, 1], kind)
    else:
        ends = np.array([np.finfo(kind).min, -0.0, 0.1], kind)
    return np.resize(ends, count).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: str, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    stream = io.BytesIO()
    write_tensor(stream, variable("w", array))
    stream.seek(0)
    again = read_tensor(stream)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tract_reads_the_same_values(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = values(dtype, shape)
    graph = Graph(outputs=["w"], variables={"w": variable("w", array)})
    write_archive(graph, tmp_path / "model")
    (output,) = load(tmp_path / "model").compile().run({}).values()
    assert (output.dtype, output.shape) == (array.dtype, array.shape)
    assert output.tobytes() == array.tobytes()


def test_header_is_that_of_nnef() -> None:
    stream = io.BytesIO()
    write_tensor(stream, variable("w", np.ones((2, 3), np.float32)))
    header = stream.getvalue()[:128]
    assert header[:4] == b"\x4e\xef\x01\x00"
    fields = np.frombuffer(header[4:56], "<u4")
    assert fields.tolist() == [24, 2, 2, 3, 0, 0, 0, 0, 0, 0, 32, 0, 0]
    assert not any(header[56:])


def test_integers_with_the_codes_of_quantised_ones_are_read() -> None:
    stream = io.BytesIO()
    write_tensor(stream, variable("w", np.array([-1, 2], np.int16)))
    data = bytearray(stream.getvalue())
    assert data[48] == 4
    data[48] = 3  # as tract itself writes them
    np.testing.assert_array_equal(read_tensor(io.BytesIO(data)), [-1, 2])


def test_big_endian_and_strided_arrays_are_refused_or_written_right() -> None:
    stream = io.BytesIO()
    with pytest.raises(FormatError, match="not what it declares"):
        write_tensor(stream, variable("w", np.ones(2, ">f4")))
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    stream = io.BytesIO()
    write_tensor(stream, variable("w", transposed))
    stream.seek(0)
    np.testing.assert_array_equal(read_tensor(stream), transposed)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (Variable("layer.w", "bf16", (2,), lambda: np.ones(2, ml_dtypes.bfloat16)), "bf16"),
        (Variable("layer.w", "complexf32", (2,), lambda: np.ones(2, "c8")), "complexf32"),
        (Variable("layer.w", "f32", (1,) * 9, lambda: np.ones((1,) * 9, "f4")), "8 axes, not 9"),
        (Variable("layer.w", "u8", (2**16, 2**16), lambda: np.ones(0, "u1")), "4 GiB"),
        (Variable("layer.w", "f32", (2,), lambda: np.ones(2, "f8")), "float64"),
        (Variable("layer.w", "f32", (2,), lambda: np.ones(3, "f4")), "not what it declares"),
        (Variable("layer.w", "f32", (1,), lambda: np.ones((), "f4")), "not what it declares"),
    ],
)
def test_tensor_that_does_not_fit_the_format_is_refused(declared: Variable, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        write_tensor(io.BytesIO(), declared)
    assert "'layer.w'" in str(caught.value)


def test_values_are_not_copied() -> None:
    array = np.zeros(1000, np.float32)
    written: list[memoryview] = []

    class Stream(io.BytesIO):
        def write(self, data: object, /) -> int:
            written.append(memoryview(data))  # type: ignore[arg-type]
            return len(written[-1])

    write_tensor(Stream(), variable("w", array))
    array[:] = 1
    assert written[-1].tobytes() == array.tobytes()


@pytest.mark.parametrize("cut", [0, 1, 127, 128, 151])
def test_cut_file_is_refused(cut: int) -> None:
    stream = io.BytesIO()
    write_tensor(stream, variable("w", np.ones((2, 3), np.float32)))
    with pytest.raises(FormatError, match=r"cut short|lacks the header"):
        read_tensor(io.BytesIO(stream.getvalue()[:cut]))


@pytest.mark.parametrize(("position", "value"), [(0, 0), (8, 9), (44, 33), (48, 9), (50, 1)])
def test_foreign_header_is_refused(position: int, value: int) -> None:
    stream = io.BytesIO()
    write_tensor(stream, variable("w", np.ones((2, 3), np.float32)))
    data = bytearray(stream.getvalue())
    data[position] = value
    with pytest.raises(FormatError, match=r"not supported|lacks the header"):
        read_tensor(io.BytesIO(data))


def test_values_are_loaded_when_written_and_not_before() -> None:
    load = Mock(return_value=np.ones(2, np.float32))
    lazy = replace(variable("w", load.return_value), load=load)
    load.assert_not_called()
    write_tensor(io.BytesIO(), lazy)
    load.assert_called_once_with()
