from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchtract import Runnable, load
from torchtract.errors import EngineError, RunError, SymbolError

WriteModel = Callable[..., Path]

TWO_INPUTS = """
    extension tract_symbol B;
    extension tract_assert B >= 1;
    graph net(x, scale) -> (product, sum) {
        x = tract_core_external(shape = [B, 3], datum_type = 'f32');
        scale = tract_core_external(shape = [B, 1], datum_type = 'f32');
        product = x * scale;
        sum = x + scale;
    }
"""

GATHER = """
    graph net(table, ids) -> (rows) {
        table = tract_core_external(shape = [4, 2], datum_type = 'f32');
        ids = tract_core_external(shape = [3], datum_type = 'i64');
        rows = tract_core_gather(table, ids, axis = 0);
    }
"""


def ones(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones(shape, np.float32)


@pytest.fixture
def two_inputs(write_model: WriteModel) -> Runnable:
    return load(write_model(TWO_INPUTS)).compile()


def test_one_output_is_an_array(relu: Path) -> None:
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)
    y = load(relu).compile()(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    assert y.dtype == np.float32


def test_several_outputs_are_a_tuple(two_inputs: Runnable) -> None:
    product, total = two_inputs(ones(2, 3), 2 * ones(2, 1))
    np.testing.assert_array_equal(product, 2 * ones(2, 3))
    np.testing.assert_array_equal(total, 3 * ones(2, 3))


def test_inputs_by_name(two_inputs: Runnable) -> None:
    x, scale = ones(2, 3), 2 * ones(2, 1)
    expected = two_inputs(x, scale)
    for outputs in (two_inputs(x, scale=scale), two_inputs(scale=scale, x=x)):
        np.testing.assert_array_equal(outputs, expected)
    named = two_inputs.run({"scale": scale, "x": x})
    assert list(named) == ["product", "sum"]
    np.testing.assert_array_equal(named["sum"], expected[1])


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "0 inputs given, the model takes 2: x: B,3,F32; scale: B,1,F32"),
        ((ones(2, 3),), {}, "1 inputs given"),
        ((ones(2, 3),) * 3, {}, "3 inputs given"),
        ((ones(2, 3),), {"skale": ones(2, 1)}, "input skale: unknown, the model takes x, scale"),
        ((ones(2, 3),), {"x": ones(2, 3)}, "input x: given twice"),
        ((), {"x": ones(2, 3)}, "input scale: missing"),
    ],
)
def test_wrong_sets_of_inputs(
    two_inputs: Runnable, args: tuple[Any, ...], kwargs: dict[str, Any], says: str
) -> None:
    with pytest.raises(RunError) as caught:
        two_inputs(*args, **kwargs)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.ones((2, 3)), "input x: B,3,F32: got float64 (2, 3): the dtype must be float32"),
        (np.ones((2, 3), np.int32), "got int32 (2, 3): the dtype must be float32"),
        ([[1.0, 2.0, 3.0]], "got float64 (1, 3): the dtype must be float32"),
        (ones(3), "input x: B,3,F32: got float32 (3,): the shape must have 2 axes"),
        (np.float32(1), "got float32 (): the shape must have 2 axes"),
        (ones(2, 4), "input x: B,3,F32: got float32 (2, 4): axis 1 must be 3"),
        (ones(2, 0), "input x: B,3,F32: got float32 (2, 0): axis 1 must be 3"),
        (np.array([["a", "b", "c"]]), "input x: got a ndarray of <U1, which tract lacks"),
        (np.array([[None] * 3]), "input x: got a ndarray of object, which tract lacks"),
        (None, "input x: got a NoneType of object, which tract lacks"),
        ([[1, 2, 3], [4]], "input x: a list is no array: "),
        (ones(5, 3), "inputs disagree about B: axis 0 of x is 5, axis 0 of scale is 2"),
    ],
)
def test_wrong_inputs(two_inputs: Runnable, x: Any, says: str) -> None:
    with pytest.raises(RunError) as caught:
        two_inputs(x, ones(2, 1))
    assert says in str(caught.value)
    assert two_inputs(ones(2, 3), ones(2, 1))[0].shape == (2, 3)


def test_each_call_binds_the_symbols_anew(two_inputs: Runnable) -> None:
    for size in (1, 7, 2, 1000, 1):
        assert two_inputs(ones(size, 3), ones(size, 1))[0].shape == (size, 3)


def test_a_size_that_an_assertion_forbids(two_inputs: Runnable) -> None:
    with pytest.raises(SymbolError, match="B=0 is not allowed: the model asserts B >= 1"):
        two_inputs(ones(0, 3), ones(0, 1))


def test_a_size_of_zero(write_model: WriteModel) -> None:
    run = load(write_model(TWO_INPUTS.replace("extension tract_assert B >= 1;", ""))).compile()
    assert run(ones(0, 3), ones(0, 1))[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [("2 * S", (0, 2, 8), (1, 3)), ("S + 1", (1, 2), ()), ("(S + 3) / 4", (0, 1, 5), ())],
)
def test_a_size_that_is_an_expression(
    write_model: WriteModel, shape: str, good: tuple[int, ...], bad: tuple[int, ...]
) -> None:
    graph = f"""
        extension tract_symbol S;
        graph net(x) -> (y) {{
            x = tract_core_external(shape = [{shape}], datum_type = 'f32');
            y = relu(x);
        }}
    """
    run = load(write_model(graph)).compile()
    for size in good:
        assert run(ones(size)).shape == (size,)
    for size in bad:
        with pytest.raises(RunError, match=r"axis 0 must be 2\*S"):
            run(ones(size))


def test_expressions_are_held_against_symbols(write_model: WriteModel) -> None:
    graph = """
        extension tract_symbol S;
        graph net(y, x) -> (z) {
            y = tract_core_external(shape = [2 * S], datum_type = 'f32');
            x = tract_core_external(shape = [S], datum_type = 'f32');
            z = relu(y);
        }
    """
    run = load(write_model(graph)).compile()
    assert run(ones(6), ones(3)).shape == (6,)
    with pytest.raises(RunError, match=r"input y: 2\*S,F32: got float32 \(4,\)"):
        run(ones(4), ones(3))


def test_nan_passes_through(linear: Path) -> None:
    x = ones(2, 3)
    x[0, 1] = np.nan
    y = load(linear).compile()(x)
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[1], 3 * ones(4))


def test_outputs_belong_to_the_caller(linear: Path) -> None:
    x = ones(2, 3)
    runnable = load(linear).compile()
    first = runnable(x)
    assert first.flags.writeable
    first[:] = -1
    second = runnable(x)
    del runnable
    np.testing.assert_array_equal(second, 3 * ones(2, 4))
    np.testing.assert_array_equal(first, -ones(2, 4))
    np.testing.assert_array_equal(x, ones(2, 3))


def test_an_output_that_is_an_input_or_a_weight_is_a_copy(write_model: WriteModel) -> None:
    graph = """
        graph net(x) -> (x, x, w) {
            x = tract_core_external(shape = [2], datum_type = 'f32');
            w = variable<scalar>(label = 'w', shape = [2]);
        }
    """
    runnable = load(write_model(graph, w=ones(2))).compile()
    x = ones(2)
    for array in runnable(x):
        array += 1
    np.testing.assert_array_equal(x, ones(2))
    np.testing.assert_array_equal(runnable(x), ones(3, 2))


def test_a_shape_comes_as_int64(write_model: WriteModel) -> None:
    graph = """
        extension tract_symbol B;
        graph net(x) -> (shape) {
            x = tract_core_external(shape = [B, 3], datum_type = 'f32');
            shape = tract_core_shape_of(x);
        }
    """
    model = load(write_model(graph))
    for shape in (model.compile()(ones(5, 3)), model.set(B=5).compile()(ones(5, 3))):
        np.testing.assert_array_equal(shape, [5, 3])
        assert shape.dtype == np.int64


def test_a_panic_of_tract_is_an_error(
    write_model: WriteModel, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load(write_model(GATHER))
    for threads in (1, 2):
        runnable = model.compile(threads=threads)
        with pytest.raises(RunError, match=r"tract panicked: range start index 18 .*gather.rs"):
            runnable(ones(4, 2), np.array([0, 1, 9]))
        assert runnable(ones(4, 2), np.array([0, 1, 3])).shape == (3, 2)
    assert capfd.readouterr().err == ""


def test_an_error_of_tract_while_running(write_model: WriteModel) -> None:
    graph = """
        extension tract_symbol S;
        graph net(x) -> (y) {
            x = tract_core_external(shape = [S], datum_type = 'f32');
            y = slice(x, axes = [0], begin = [2], end = [5]);
        }
    """
    runnable = load(write_model(graph)).compile()
    with pytest.raises(RunError, match=r"Invalid range 2\.\.5"):
        runnable(ones(3))
    assert runnable(ones(6)).shape == (3,)


def test_set_and_bound_symbols_give_different_networks_with_the_same_numbers(
    write_model: WriteModel,
) -> None:
    graph = """
        extension tract_symbol B;
        graph net(x) -> (y) {
            x = tract_core_external(shape = [B, 3, 8], datum_type = 'f32');
            w = variable<scalar>(label = 'w', shape = [1, 8, 8]);
            y = matmul(x, w);
        }
    """
    rng = np.random.default_rng(0)
    w = rng.standard_normal((1, 8, 8), dtype=np.float32)
    x = rng.standard_normal((2, 3, 8), dtype=np.float32)
    model = load(write_model(graph, w=w))
    bound, concrete = model.compile(), model.set(B=2).compile()
    assert [n.op for n in bound.nodes()] != [n.op for n in concrete.nodes()]
    assert all(isinstance(d, int) for n in concrete.nodes() for f in n.outputs for d in f.shape)
    np.testing.assert_allclose(bound(x), concrete(x), rtol=1e-6)
    np.testing.assert_allclose(bound(x), x @ w, rtol=1e-5, atol=1e-5)


def test_threads_share_the_work_of_a_call(linear: Path) -> None:
    one, two = load(linear).compile(), load(linear).compile(threads=2)
    assert (one.threads, two.threads) == (1, 2)
    assert repr(one).startswith("Runnable, 1 thread\n")
    assert repr(two).startswith("Runnable, 2 threads\n")
    np.testing.assert_array_equal(one(ones(2, 3)), two(ones(2, 3)))


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**12, 1.5, "2", None])
def test_a_number_of_threads_that_can_not_be(linear: Path, threads: Any) -> None:
    with pytest.raises(EngineError, match=f"threads={threads!r}: can't be.* 1 to 1024"):
        load(linear).compile(threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads_use_one_runnable(write_model: WriteModel, threads: int) -> None:
    runnable = load(write_model(TWO_INPUTS)).compile(threads=threads)

    def call(i: int) -> bool:
        size = 1 + i % 5
        product, total = runnable(np.full((size, 3), i, np.float32), 2 * ones(size, 1))
        return bool((product == 2 * i).all() and (total == i + 2).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(2000)))


def test_other_threads_run_while_tract_works(write_model: WriteModel) -> None:
    graph = """
        graph net(x, y) -> (z) {
            x = tract_core_external(shape = [1500, 1500], datum_type = 'f32');
            y = tract_core_external(shape = [1500, 1500], datum_type = 'f32');
            z = matmul(x, y);
        }
    """
    runnable, x = load(write_model(graph)).compile(), ones(1500, 1500)
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(1e-3)

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    runnable(x, x)
    end = time.perf_counter()
    stop.set()
    ticker.join()
    assert sum(start < t < end for t in ticks) >= 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.parametrize(("threads", "says"), [(1, "16.0"), (2, "compile the model again")])
def test_after_a_fork(relu: Path, threads: int, says: str) -> None:
    code = f"""
import os, numpy as np, torchtract as tt
model = tt.load({str(relu)!r})
runnable, x = model.compile(threads={threads}), np.ones((2, 8), np.float32)
runnable(x)
if os.fork() == 0:
    try:
        print(runnable(x).sum(), flush=True)
    except tt.errors.RunError as e:
        assert model.compile(threads=2)(x).sum() == 16
        print(e, flush=True)
    os._exit(0)
os.wait()
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert says in out


def test_pickle(relu: Path) -> None:
    runnable = pickle.loads(pickle.dumps(load(relu).set(B=2).compile(threads=2)))
    assert runnable.threads == 2
    assert runnable.inputs[0].shape == (2, 8)
    np.testing.assert_array_equal(runnable(-ones(2, 8)), 0 * ones(2, 8))
