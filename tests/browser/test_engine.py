"""The engine in Chromium gives what it gives in Python: numbers, facts and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from browser.engine import Engine, Thrown, received
from harness import Function
from streaming.attention import ATTENTION
from streaming.streamable import STREAMABLE, Case
from torchtract import Model, TractNNEF, _native, export_model_to_nnef, load
from torchtract.errors import EngineError, RunError
from torchtract.runtime import Fact
from vad.audio import Array
from vad.network import FRAME

CASES = {case.name: case for case in (*STREAMABLE, *ATTENTION)}


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., tuple[Model, bytes]]:
    """Exports a module, and gives the model and its archive."""

    def export(module: Any, *args: Tensor, **options: Any) -> tuple[Model, bytes]:
        torch.manual_seed(0)
        module = module if isinstance(module, nn.Module) else Function(module)
        path = tmp_path / "model.nnef.tgz"
        target = TractNNEF(check_io=False, dynamic_axes=options.pop("dynamic_axes", {}))
        options.setdefault("output_names", ["y"])
        names = [f"x{i}" for i in range(len(args))]
        export_model_to_nnef(module.eval(), args, path, target, input_names=names, **options)
        return load(path), path.read_bytes()

    return export


def exported_case(case: Case, export: Callable[..., tuple[Model, bytes]]) -> tuple[Model, bytes]:
    axes = {f"x{i}": dict(axis) for i, axis in enumerate(case.axes)}
    asserts = [f"tract_assert {assertion}" for assertion in case.asserts]
    return export(
        case.module, *case.args, dynamic_axes=axes, custom_extensions=asserts, output_names=None
    )


@pytest.mark.parametrize("name", CASES)
def test_streams_as_in_python(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]], name: str
) -> None:
    case = CASES[name]
    model, archive = exported_case(case, exported)
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


def test_facts_are_those_of_python(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]]
) -> None:
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


def test_a_file_that_is_pulsed_already_streams(
    engine: Engine, tmp_path: Path, exported: Callable[..., tuple[Model, bytes]]
) -> None:
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


def test_reset_and_fork(engine: Engine, exported: Callable[..., tuple[Model, bytes]]) -> None:
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
def test_every_type_comes_and_goes(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]], dtype: str, array: str
) -> None:
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


def test_a_dtype_is_told_by_the_array(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]]
) -> None:
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


def stream_of(model: Model) -> Any:
    return model.pulse(S=2).set(B=1).compile().stream()


def pushed_after_end(model: Model) -> None:
    stream = stream_of(model)
    stream.push(np.zeros((1, 1, 4), np.float32))
    stream.flush()
    stream.flush()


# What is wrong, in JavaScript and in Python.
SAME: dict[str, tuple[str, Callable[[Model], Any]]] = {
    "no archive": ("torchtract.Model.fromBytes(new Uint8Array(5))", lambda _: load(bytes(5))),
    "empty": ("torchtract.Model.fromBytes(new Uint8Array(0))", lambda _: load(b"")),
    "unknown symbol": ("kept.model.set({ T: 1 })", lambda m: m.set(T=1)),
    "symbol set twice": ("kept.model.set({ B: 1 }).set({ B: 2 })", lambda m: m.set(B=1).set(B=2)),
    "forbidden value": ("kept.model.set({ B: 0 })", lambda m: m.set(B=0)),
    "no expression": ("kept.model.set({ B: '1 +' })", lambda m: m.set(B="1 +")),
    "unknown stream": ("kept.model.pulse({ T: 1 })", lambda m: m.pulse(T=1)),
    "no pulse": ("kept.model.pulse({ S: 0 })", lambda m: m.pulse(S=0)),
    "pulse that does not fit": ("kept.model.pulse({ S: 3 })", lambda m: m.pulse(S=3)),
    "two pulses": ("kept.model.pulse({ B: 1, S: 2 })", lambda m: m.pulse(B=1, S=2)),
    "the stream's symbol": (
        "kept.model.pulse({ S: 2 }).set({ S: 2 })",
        lambda m: m.pulse(S=2).set(S=2),
    ),
    "wrong type": (
        "kept.stream.push({ x0: { data: new Int32Array(4), shape: [1, 1, 4] } })",
        lambda m: stream_of(m).push(np.zeros((1, 1, 4), np.int32)),
    ),
    "wrong shape": (
        "kept.stream.push({ x0: { data: new Float32Array(4), shape: [1, 2, 2] } })",
        lambda m: stream_of(m).push(np.zeros((1, 2, 2), np.float32)),
    ),
    "unknown input": (
        "kept.stream.push({ x1: { data: new Float32Array(4), shape: [1, 1, 4] } })",
        lambda m: stream_of(m).push(x1=np.zeros((1, 1, 4), np.float32)),
    ),
    "pushed after its end": (
        "kept.stream.push({ x0: { data: new Float32Array(4), shape: [1, 1, 4] } }); "
        "kept.stream.flush(); kept.stream.flush()",
        pushed_after_end,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_errors_have_the_words_of_python(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]], what: str
) -> None:
    model, archive = exported(
        nn.Conv1d(1, 2, 4, stride=2), torch.rand(1, 1, 8),
        dynamic_axes={"x0": {0: "B", 2: "S"}}, custom_extensions=["tract_assert B >= 1"],
    )  # fmt: skip
    script, python = SAME[what]
    with pytest.raises(EngineError) as here:
        python(model)
    engine.open(archive)
    engine.begin(S=2)
    with pytest.raises(Thrown) as there:
        engine.do(script)
    assert there.value.name == type(here.value).__name__
    assert there.value.message == str(here.value)


#: What only JavaScript can get wrong.
WRONG = {
    "kept.model.set(3)": "no object of symbols",
    "kept.model.set({ B: 1.5 })": "B: neither a whole number nor an expression",
    "kept.model.pulse({ S: '2' })": "S=2: a pulse has a fixed length",
    "kept.stream.push(3)": "no object of tensors by name: the stream takes x0",
    "kept.stream.push({})": "input x0: missing, the stream takes x0",
    "kept.stream.push({ x0: [1, 2] })": "input x0: no tensor",
    "kept.stream.push({ x0: { data: new Float32Array(4) } })": "input x0: a tensor has a shape",
    "kept.stream.push({ x0: { data: new Float32Array(4), shape: [1, 1, -4] } })":
        "input x0: a tensor has a shape",
    "kept.stream.push({ x0: { data: new Float32Array(4), shape: [1, 1, 5] } })":
        "input x0: 20 bytes expected for [1, 1, 5] of float32",
    "kept.stream.push({ x0: { data: new Uint8Array([1, 2]), shape: [1, 1, 2], dtype: 'bool' } })":
        "input x0: a bool is 0 or 1",
    "kept.stream.push({ x0: { data: new Uint8Array(2), shape: [1, 1, 2], dtype: 'f' } })":
        "input x0: no dtype f",
}  # fmt: skip


@pytest.mark.parametrize("script", WRONG)
def test_what_is_no_tensor_is_said(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]], script: str
) -> None:
    _, archive = exported(
        nn.Conv1d(1, 2, 4, stride=2), torch.rand(1, 1, 8), dynamic_axes={"x0": {2: "S"}}
    )
    engine.open(archive)
    engine.begin(S=2)
    with pytest.raises(Thrown) as thrown:
        engine.do(script)
    assert WRONG[script] in thrown.value.message


def test_a_panic_of_tract_is_an_error_and_changes_nothing(
    engine: Engine, exported: Callable[..., tuple[Model, bytes]]
) -> None:
    words = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
    ids = torch.tensor([[0, 1, 2, 3]])
    model, archive = exported(words, ids, dynamic_axes={"x0": {0: "B", 1: "S"}})
    stream = model.pulse(S=1).set(B=1).compile().stream()
    engine.open(archive)
    engine.begin(S=1)
    good, bad = np.array([[4, 0, 2]]), np.array([[1, 99, 1]])
    for _ in range(3):
        with pytest.raises(RunError) as here:
            stream.push(bad)
        with pytest.raises(Thrown) as there:
            engine.push(x0=bad)
        assert there.value.message == str(here.value)
        assert "tract panicked: range start index" in there.value.message
        (given,) = engine.push(x0=good).values()
        np.testing.assert_allclose(given, stream.push(good), atol=1e-5)


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
