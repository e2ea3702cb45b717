from __future__ import annotations

import copy
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from graphs import archive
from runtime.conftest import SMOOTH
from torchtract import Model, PulsedModel, Stream, StreamAxis, load
from torchtract.errors import EngineError, PulseError, RunError, SymbolError

DOUBLE = """
extension tract_symbol B;
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [B, S, 2], datum_type = 'f32');
    y = x * 2.0;
}
"""
TWO_AXES = """
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [S, S], datum_type = 'f32');
    y = x * 2.0;
}
"""
HALVED = """
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');
    kernel = [[[1.0, 1.0]]];
    y = conv(x, kernel, 0.0, stride = [2], padding = [(0, 0)]);
}
"""
FIXED = """
graph net(x) -> (y) {
    x = tract_core_external(shape = [2, 2], datum_type = 'f32');
    y = x * 2.0;
}
"""
OFFSET = """
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [S + 1], datum_type = 'f32');
    y = x * 2.0;
}
"""
TOTAL = """
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [S, 2], datum_type = 'f32');
    y = sum_reduce(x, axes = [0]);
}
"""


def model(text: str) -> Model:
    return load(archive(text))


def test_tells_axis_pulse_and_delay_of_inputs_and_outputs() -> None:
    pulsed = model(SMOOTH).pulse(S=8)
    assert (pulsed.symbol, pulsed.pulse_size, pulsed.delay) == ("S", 8, 1)
    assert pulsed.input_streams == {"x": StreamAxis(axis=2, pulse=8, delay=0)}
    assert pulsed.output_streams == {"y": StreamAxis(axis=2, pulse=8, delay=1)}
    assert pulsed.inputs[0].shape == ("B", 1, 8)
    assert pulsed.symbols == ("B",)


def test_subsampled_outputs_have_shorter_pulses() -> None:
    assert model(HALVED).pulse(S=6).output_streams["y"] == StreamAxis(2, 3, 0)


def test_looks_as_other_models_do() -> None:
    pulsed = model(SMOOTH).pulse(S=8)
    assert repr(pulsed).splitlines() == [
        "PulsedModel, S=8",
        "  input   x  B,1,8,F32  axis 2  pulse 8  delay 0",
        "  output  y  B,1,8,F32  axis 2  pulse 8  delay 1",
        "  symbol  B",
    ]
    assert "<table" in pulsed._repr_html_()


@pytest.mark.parametrize("text", [DOUBLE, SMOOTH], ids=["double", "smooth"])
def test_other_symbols_are_set_before_or_after(text: str) -> None:
    before = model(text).set(B=2).pulse(S=4)
    after = model(text).pulse(S=4).set(B=2)
    assert before.inputs == after.inputs
    assert before.symbols == after.symbols == ()
    assert isinstance(after, PulsedModel)


@pytest.mark.parametrize(
    ("text", "pulse", "error", "message"),
    [
        (DOUBLE, {"T": 4}, SymbolError, "no symbol is called T"),
        (FIXED, {"S": 4}, SymbolError, "no symbol is called S"),
        (DOUBLE, {"S": 0}, PulseError, "^S=0: a pulse has at least one frame"),
        (DOUBLE, {"S": -8}, PulseError, "^S=-8: a pulse has at least one frame"),
        (DOUBLE, {"S": "2*B"}, PulseError, "a pulse has a fixed length"),
        (DOUBLE, {"S": 2.0}, SymbolError, "a float is no size"),
        (DOUBLE, {}, PulseError, "give exactly one"),
        (DOUBLE, {"S": 4, "B": 2}, PulseError, r"pulse\(S=4, B=2\): one symbol streams"),
        (TWO_AXES, {"S": 4}, PulseError, "two axes of input x"),
        (OFFSET, {"S": 4}, PulseError, "a fixed number of frames for each S"),
        (TOTAL, {"S": 4}, PulseError, "^S=4: .*it takes all frames at once"),
        (HALVED, {"S": 3}, PulseError, "multiples of 2 do$"),
    ],
)
def test_refuses(text: str, pulse: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model(text).pulse(**pulse)


def test_a_symbol_that_is_set_does_not_stream() -> None:
    with pytest.raises(SymbolError, match="already set"):
        model(DOUBLE).set(S=4).pulse(S=4)


def test_a_second_symbol_does_not_stream() -> None:
    with pytest.raises(PulseError, match=r"pulse\(B=2\): the model is pulsed already, S=4"):
        model(DOUBLE).pulse(S=4).pulse(B=2)


def test_the_stream_s_symbol_is_not_set() -> None:
    with pytest.raises(SymbolError, match="S=4: S streams"):
        model(DOUBLE).pulse(S=4).set(S=4)


def test_another_symbol_may_stream() -> None:
    assert model(DOUBLE).pulse(B=3).input_streams["x"] == StreamAxis(0, 3, 0)


@pytest.mark.parametrize("name", ["m.nnef.tgz", "m.nnef.tar"])
def test_what_is_saved_loads_as_it_was(tmp_path: Path, name: str) -> None:
    pulsed = model(SMOOTH).pulse(S=8)
    pulsed.save(tmp_path / name)
    again = load(tmp_path / name)
    assert isinstance(again, PulsedModel)
    assert repr(again) == repr(pulsed)
    x = np.random.default_rng(0).standard_normal((2, 1, 21)).astype(np.float32)
    np.testing.assert_array_equal(_stream(again, x), _stream(pulsed, x))


def _stream(pulsed: PulsedModel, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    stream = pulsed.compile().stream()
    return np.concatenate([stream.push(x), stream.flush()], axis=2)


def test_what_is_saved_is_what_tract_s_tutorial_has(tmp_path: Path) -> None:
    path = tmp_path / "m.nnef.tgz"
    model(SMOOTH).pulse(S=8).save(path)
    with tarfile.open(path) as tar:
        member = tar.extractfile("graph.nnef")
        assert member is not None
        graph = member.read().decode()
    assert "extension tract_registry tract_pulse;" in graph
    assert "tract_pulse_delay(x" in graph
    for name in ("pulse.delay", "pulse.input_axes", "pulse.output_axes"):
        assert f'"{name}"' in graph
    properties = load(path).properties
    assert [
        list(properties[f"pulse.{name}"]) for name in ("delay", "input_axes", "output_axes")
    ] == [
        [1],
        [2],
        [2],
    ]


def test_a_file_that_cant_be_written_is_not_begun(tmp_path: Path) -> None:
    pulsed = model(SMOOTH).pulse(S=8)
    taken = tmp_path / "m.nnef.tgz"
    taken.mkdir()
    for path in (taken, tmp_path / "none" / "m.nnef.tgz"):
        with pytest.raises(PulseError, match=str(path)):
            pulsed.save(path)
    assert list(tmp_path.iterdir()) == [taken]
    with pytest.raises(PulseError, match="at most 4294967296 frames"):
        model(SMOOTH).pulse(S=2**62)


@pytest.mark.parametrize("sizes", [{}, {"B": 2}], ids=str)
def test_goes_to_other_processes(tmp_path: Path, sizes: dict[str, int]) -> None:
    pulsed = model(SMOOTH).pulse(S=8).set(**sizes)
    pulsed.save(tmp_path / "m.nnef.tar")
    for one in (pulsed, load(tmp_path / "m.nnef.tar")):
        assert repr(pickle.loads(pickle.dumps(one))) == repr(one)
        assert repr(pickle.loads(pickle.dumps(one.compile()))) == repr(one.compile())
        assert copy.deepcopy(one) is one


def test_a_compiled_one_begins_streams_and_computes_pulses() -> None:
    runnable = model(DOUBLE).pulse(S=4).compile(threads=2)
    assert isinstance(runnable.stream(), Stream)
    assert runnable(np.ones((1, 4, 2), np.float32)).tolist() == np.full((1, 4, 2), 2.0).tolist()
    assert runnable.stream_inputs[0].shape == ("B", "S", 2)
    with pytest.raises(RunError, match="input z: unknown"):
        runnable.stream(z=1)
    with pytest.raises(RunError, match=r"input x.*it streams"):
        runnable.stream(x=np.ones((1, 4, 2), np.float32))


@pytest.mark.parametrize("threads", [0, 10**12, "2"])
def test_a_number_of_threads_that_can_not_be(threads: Any) -> None:
    with pytest.raises(EngineError, match=f"threads={threads!r}: can't be"):
        model(DOUBLE).pulse(S=4).compile(threads=threads)
