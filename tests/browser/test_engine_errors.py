"""What goes wrong in the engine in Chromium: errors in the words of Python, and nothing broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from browser.engine import Engine, Thrown, exported
from torchtract import Model, load
from torchtract.errors import EngineError, RunError


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
def test_errors_have_the_words_of_python(engine: Engine, what: str) -> None:
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
def test_what_is_no_tensor_is_said(engine: Engine, script: str) -> None:
    _, archive = exported(
        nn.Conv1d(1, 2, 4, stride=2), torch.rand(1, 1, 8), dynamic_axes={"x0": {2: "S"}}
    )
    engine.open(archive)
    engine.begin(S=2)
    with pytest.raises(Thrown) as thrown:
        engine.do(script)
    assert WRONG[script] in thrown.value.message


def test_a_panic_of_tract_is_an_error_and_changes_nothing(engine: Engine) -> None:
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
