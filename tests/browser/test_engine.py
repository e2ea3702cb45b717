"""The engine in Chromium gives what it gives in Python: numbers, facts and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from browser.engine import Engine, exported, received
from streaming.attention import ATTENTION
from streaming.streamable import STREAMABLE, Case
from torchtract import Model, _native
from torchtract.runtime import Fact
from vad.audio import Array
from vad.network import FRAME

CASES = {case.name: case for case in (*STREAMABLE, *ATTENTION)}


def exported_case(case: Case) -> tuple[Model, bytes]:
    axes = {f"x{i}": dict(axis) for i, axis in enumerate(case.axes)}
    asserts = [f"tract_assert {assertion}" for assertion in case.asserts]
    return exported(
        case.module, *case.args, dynamic_axes=axes, custom_extensions=asserts, output_names=None
    )


@pytest.mark.parametrize("name", CASES)
def test_streams_as_in_python(engine: Engine, name: str) -> None:
    case = CASES[name]
    model, archive = exported_case(case)
    pulse = case.pulses[0]
    random = np.random.default_rng(0)
    pulsed = model.pulse(S=pulse)
    pulsed = pulsed.set(**dict.fromkeys(pulsed.symbols, 1))
    streaming = [fact for fact in pulsed.inputs if pulsed.input_streams[fact.name]]
    fixed = {
        fact.name: values(fact, fact.shape, random)
        for fact in pulsed.inputs
        if fact not in streaming
    }
    stream = pulsed.compile().stream(fixed)
    engine.open(archive)
    engine.begin(fixed, S=pulse)

    ours: list[Any] = []
    theirs: list[dict[str, Any]] = []
    for length in (3 * pulse, pulse, 0, 4 * pulse):
        chunks = {}
        for fact in streaming:
            shape, axis = list(fact.shape), pulsed.input_streams[fact.name]
            assert axis is not None
            shape[axis.axis] = length * axis.pulse // pulse
            chunks[fact.name] = values(fact, shape, random)
        ours.append(stream.push(**chunks))
        theirs.append(engine.push(**chunks))
    ours.append(stream.flush())
    theirs.append(engine.flush())

    varied = 0.0
    for here, there in zip(ours, theirs, strict=True):
        arrays = here if isinstance(here, tuple) else (here,)
        for fact, array in zip(pulsed.outputs, arrays, strict=True):
            if array is None:
                assert fact.name not in there
                continue
            assert there[fact.name].dtype == array.dtype
            np.testing.assert_allclose(there[fact.name], array, rtol=1e-4, atol=1e-4)
            varied += float(np.ptp(array.astype(float))) if array.size else 0.0
    assert varied > 1e-3


def values(fact: Fact, shape: Sequence[Any], random: np.random.Generator) -> Any:
    """Numbers for an input."""
    if fact.dtype == "float32":
        return random.standard_normal(shape).astype(np.float32)
    return random.integers(0, 2, shape).astype(fact.dtype)


def test_probabilities_of_speech(
    engine: Engine, site: Path, said: Array, probabilities: Callable[[Array], Any]
) -> None:
    engine.open((site / "silero_vad.nnef.tgz").read_bytes())
    engine.begin(S=FRAME)
    expected = probabilities(said)
    assert expected.min() < 0.05
    assert expected.max() > 0.9
    given = [
        engine.push(audio=said[None, at : at + 5000])["probability"][0]
        for at in range(0, len(said), 5000)
    ]
    np.testing.assert_allclose(np.concatenate(given), expected, atol=1e-4)


def test_facts_are_those_of_python(engine: Engine) -> None:
    module = nn.Conv1d(2, 3, 5, padding=2)
    model, archive = exported(
        module, torch.rand(1, 2, 8), dynamic_axes={"x0": {0: "B", 2: "S"}},
        custom_extensions=["tract_assert B >= 1"],
    )  # fmt: skip
    engine.open(archive)
    facts = engine.do(
        """
        const { inputs, outputs, symbols, assertions, properties, pulsed } = kept.model;
        const none = pulsed === undefined;
        return { inputs, outputs, symbols, assertions, none, properties: Object.keys(properties) };
        """
    )
    for ours, theirs in ((model.inputs, facts["inputs"]), (model.outputs, facts["outputs"])):
        assert [(f.name, f.dtype, list(f.shape), f.spec) for f in ours] == [
            (f["name"], f["dtype"], f["shape"], f["spec"]) for f in theirs
        ]
    assert facts["symbols"] == list(model.symbols)
    assert facts["assertions"] == list(model.assertions)
    assert facts["none"]
    assert set(facts["properties"]) == set(model.properties)

    pulsed = model.pulse(S=4)
    told = engine.do(
        """
        const pulsed = kept.model.pulse({ S: 4 });
        const { symbol, pulseSize, delay, symbols, inputStreams, outputStreams } = pulsed;
        return { symbol, pulseSize, delay, symbols, inputStreams, outputStreams };
        """
    )
    assert told["symbol"] == pulsed.symbol
    assert told["pulseSize"] == pulsed.pulse_size
    assert told["delay"] == pulsed.delay > 0
    assert told["symbols"] == list(pulsed.symbols)
    for streams, seen in (
        (pulsed.input_streams, told["inputStreams"]),
        (pulsed.output_streams, told["outputStreams"]),
    ):
        assert {name: axis and vars(axis) for name, axis in streams.items()} == seen


def test_a_file_that_is_pulsed_already_streams(engine: Engine, tmp_path: Path) -> None:
    model, _ = exported(
        nn.Conv1d(1, 2, 3, padding=1), torch.rand(1, 1, 8), dynamic_axes={"x0": {2: "S"}}
    )
    path = tmp_path / "pulsed.nnef.tgz"
    model.pulse(S=2).save(path)
    engine.open(path.read_bytes())
    x = torch.rand(1, 1, 10).numpy()
    pushed = engine.do(
        """
        kept.stream = kept.model.pulsed.compile().stream();
        return carriedAll(kept.stream.push(tensorsOf(chunks)));
        """,
        chunks={"x0": x},
    )
    given = [received(pushed)["y"], engine.flush()["y"]]
    np.testing.assert_allclose(np.concatenate(given, 2), model.compile()(x), atol=1e-5)


def test_reset_and_fork(engine: Engine) -> None:
    model, archive = exported(
        nn.Conv1d(1, 2, 3, padding=1), torch.rand(1, 1, 8), dynamic_axes={"x0": {2: "S"}}
    )
    engine.open(archive)
    engine.begin(S=2)
    first, then, other = np.random.default_rng(0).standard_normal((3, 1, 1, 6)).astype("f4")
    engine.push(x0=first)
    where = engine.do("return [kept.stream.position, kept.stream.ended];")
    assert where == [6, False]

    engine.do("kept.other = kept.stream.fork();")
    one = [engine.push(x0=then)["y"], engine.flush()["y"]]
    engine.do("kept.stream = kept.other;")
    two = [engine.push(x0=other)["y"], engine.flush()["y"]]
    assert engine.do("return kept.stream.ended;")
    engine.do("kept.stream.reset();")
    anew = [engine.push(x0=other)["y"], engine.flush()["y"]]

    run = model.compile()
    np.testing.assert_allclose(
        np.concatenate(one, 2), run(np.concatenate([first, then], 2))[..., 5:], atol=1e-5
    )
    np.testing.assert_allclose(
        np.concatenate(two, 2), run(np.concatenate([first, other], 2))[..., 5:], atol=1e-5
    )
    np.testing.assert_allclose(np.concatenate(anew, 2), run(other), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("float32", "Float32Array"),
        ("float64", "Float64Array"),
        ("float16", "Uint16Array"),
        ("int8", "Int8Array"),
        ("int16", "Int16Array"),
        ("int32", "Int32Array"),
        ("int64", "BigInt64Array"),
        ("uint8", "Uint8Array"),
        ("bool", "Uint8Array"),
    ],
)
def test_every_type_comes_and_goes(engine: Engine, dtype: str, array: str) -> None:
    x = np.array([[1, 0, 3], [0, 5, 6]]).astype(dtype)
    model, archive = exported(
        lambda x: torch.cat([x, x.flip(0)], 1),
        torch.from_numpy(x),
        dynamic_axes={"x0": {0: "B"}},
    )
    engine.open(archive)
    ran = engine.do(
        "return carriedAll(kept.model.compile().run(tensorsOf(inputs)));", inputs={"x0": x}
    )
    assert ran["y"]["array"] == array
    given = received(ran)["y"]
    expected = model.compile()(x)
    assert given.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(given, expected)


def test_a_dtype_is_told_by_the_array(engine: Engine) -> None:
    _, archive = exported(lambda x: x + 1, torch.rand(2), dynamic_axes={"x0": {0: "B"}})
    engine.open(archive)
    given = engine.do(
        """
        const inMiddle = new Float32Array([9, 1, 2, 3, 9]).subarray(1, 4);
        const { y } = kept.model.compile().run({ x0: { data: inMiddle, shape: [3] } });
        return [Array.from(y.data), y.shape, y.dtype, y.data.constructor.name];
        """
    )
    assert given == [[2, 3, 4], [3], "float32", "Float32Array"]


def test_the_linker_dropped_no_transform(engine: Engine) -> None:
    assert engine.do("return torchtract.transforms();") == _native.transforms()


def test_ten_minutes_take_no_more_memory_than_one(engine: Engine, site: Path) -> None:
    engine.open((site / "silero_vad.nnef.tgz").read_bytes())
    engine.begin(S=FRAME)
    minutes = [minute(engine) for _ in range(10)]
    assert len({wasm for wasm, _ in minutes}) == 1
    heaps = [heap for _, heap in minutes]
    assert max(heaps[5:]) < 1.2 * max(heaps[:5])


def minute(engine: Engine) -> tuple[int, int]:
    """Streams a minute of noise, and gives the bytes that WebAssembly and JavaScript have."""
    wasm = engine.do(
        """
        const audio = { data: new Float32Array(512), shape: [1, 512] };
        for (let frame = 0; frame < 1875; frame++) {
          audio.data.forEach((_, at) => (audio.data[at] = 0.2 * Math.random() - 0.1));
          kept.stream.push({ audio });
        }
        return memory.buffer.byteLength;
        """
    )
    client = engine.page.context.new_cdp_session(engine.page)
    client.send("HeapProfiler.collectGarbage")
    heap = client.send("Runtime.getHeapUsage")["usedSize"]
    client.detach()
    return wasm, heap
