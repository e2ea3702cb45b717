"""The tutorial's speech model with a forward RNN, streamed by pulses of eight frames."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

import torchtract as tt
from benchmarks.measure import Samples, alternate, race
from benchmarks.report import Comparison, Report
from speech_streaming import forward_model

PULSE = 8
STREAMS = 64
TURNS = 1000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pulsed model, B free, as an uncompressed archive: Rust's tract reads no other."""
    folder = tmp_path_factory.mktemp("speech")
    torch.manual_seed(0)
    tt.export_model_to_nnef(
        forward_model(),
        torch.rand(7, 100, 64),
        folder / "speech.nnef.tar",
        tt.TractNNEF(check_io=False, dynamic_axes={"melbank": {0: "B", 1: "S"}}),
        ["melbank"],
        ["output"],
        custom_extensions=["tract_assert S >= 13"],
    )
    pulsed = tt.load(folder / "speech.nnef.tar").pulse(S=PULSE)
    tt.check_stream(tt.load(folder / "speech.nnef.tar"), pulsed=pulsed)
    pulsed.save(folder / "pulsed.nnef.tar")
    return folder / "pulsed.nnef.tar"


def pulses(count: int) -> np.ndarray:
    """[count, 1, 8, 64]."""
    shape = (count, 1, PULSE, 64)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def pulsed_model(archive: Path) -> tt.PulsedModel:
    model = tt.load(archive)
    assert isinstance(model, tt.PulsedModel)
    return model


def official_state(archive: Path) -> Any:
    """The same file in the official wheel, which takes one pulse at a time and no fewer."""
    import tract

    model = tract.nnef().with_tract_extra().with_pulse().load(archive)
    model.transform(tract.SetSymbols({"B": 1}))
    return model.into_runnable().spawn_state()


@contextmanager
def rust_loop(archive: Path) -> Iterator[Callable[[], float]]:
    """A loop around tract's own state, in Rust: the seconds of a turn."""
    name = "pulse_loop"
    build = ["cargo", "build", "--release", "--quiet", "-p", "torchtract-native"]
    subprocess.run([*build, "-p", "torchtract-engine", "--example", name], cwd=ROOT, check=True)
    command = [str(ROOT / "target/release/examples" / name), str(archive), str(TURNS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answers = process.stdin, process.stdout

        def turn() -> float:
            ask.write("\n")
            return float(answers.readline())

        turn()
        yield turn
        ask.close()


def test_one_stream(report: Report, rounds: Callable[[int], int], archive: Path) -> None:
    stream = pulsed_model(archive).set(B=1).compile().stream()
    state = official_state(archive)
    x = pulses(1)[0]
    for _ in range(8):
        ours, theirs = stream.push(x), state.run([x])[0].to_numpy()
    # tract's frames are late by the delay, in which the same pulse came again and again.
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert ours.shape[1] == 2

    def seconds_of(call: Callable[[], object]) -> Callable[[], float]:
        return lambda: race({"": call}, 1, calls=TURNS)[""].minimum

    with rust_loop(archive) as turn:
        taken = alternate(
            {
                "torchtract": seconds_of(lambda: stream.push(x)),
                "tract": seconds_of(lambda: state.run([x])[0].to_numpy()),  # noqa: PLW0108
                "a loop in Rust": turn,
            },
            rounds(15),
        )
    samples = {name: Samples(name, values) for name, values in taken.items()}
    what = "a pulse of one stream"
    report.add(
        Comparison(what, samples["torchtract"], samples["a loop in Rust"], target=1.1),
        Comparison(what, samples["torchtract"], samples["tract"], target=0.8),
    )


def test_many_streams(report: Report, rounds: Callable[[int], int], archive: Path) -> None:
    x = pulses(STREAMS)
    model = pulsed_model(archive)
    single = model.set(B=1).compile()
    alone = [single.stream() for _ in range(STREAMS)]
    pools = {
        "a pool, one thread": model.compile().streams(STREAMS, batched=True),
        "a pool, two threads": model.compile(threads=2).streams(STREAMS, batched=True),
        "two threads, a state each": model.compile(threads=2).streams(STREAMS, batched=False),
    }
    chunks = {name: {pool.stream(): x[i] for i in range(STREAMS)} for name, pool in pools.items()}
    for _ in range(12):
        expected = [stream.push(x[i]) for i, stream in enumerate(alone)]
        for name, pool in pools.items():
            given = pool.push(chunks[name])
            for ours, theirs in zip(given.values(), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert expected[0].shape[1] == 2
    contenders: dict[str, Callable[[], object]] = {
        name: lambda pool=pool, name=name: pool.push(chunks[name])  # type: ignore[misc]
        for name, pool in pools.items()
    }
    contenders["single states"] = lambda: [s.push(x[i]) for i, s in enumerate(alone)]
    seconds = race(contenders, rounds(15), calls=20)
    what = f"a pulse of each of {STREAMS} streams"
    report.add(
        *(
            Comparison(
                what,
                seconds[name],
                seconds["single states"],
                target=1 / 3 if name == "a pool, two threads" else None,
            )
            for name in pools
        )
    )


def test_memory_of_a_long_stream(report: Report, archive: Path) -> None:
    stream = pulsed_model(archive).set(B=1).compile().stream()
    x = pulses(1)[0]
    process = psutil.Process()

    def resident_after(turns: int) -> list[float]:
        found = []
        for _ in range(10):
            for _ in range(turns // 10):
                stream.push(x)
            found.append(process.memory_info().rss / 1e6)
        return found

    before = Samples("after 10^4 pulses", resident_after(10_000)[-1:])
    after = Samples("after 10^5 more", resident_after(100_000))
    what = "memory of a process with a stream"
    report.add(Comparison(what, after, before, unit="MB", target=1.005))
