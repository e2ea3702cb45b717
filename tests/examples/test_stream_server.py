"""The stream server, as clients on the same machine see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import stream_server
import torchtract as tt
from examples.clients import Heard, client, encode, encoding, hear, message, receive, some_features
from examples.conftest import Serve, Server


def test_fifty_connections_at_once_get_the_batch_models_frames(
    server: Server, archive: Path, batch_archive: Path
) -> None:
    lengths = [random.Random(i).randrange(2000) for i in range(48)]
    every = [some_features(frames, i) for i, frames in enumerate([*lengths, 1, 3000])]

    async def all_at_once() -> list[Heard]:
        return await asyncio.gather(*(encode(server, f, i) for i, f in enumerate(every)))

    heard = asyncio.run(all_at_once())

    runnable, batch = tt.load(archive).compile(), tt.load(batch_archive).compile()
    assert isinstance(runnable, tt.PulsedRunnable)
    for features, (answers, last, code) in zip(every, heard, strict=True):
        stream = runnable.stream()
        expected = np.concatenate([stream.push(features[None]), stream.flush()], axis=2)[0]
        actual = encoding(answers)
        np.testing.assert_allclose(actual, expected, atol=1e-6)
        np.testing.assert_allclose(actual, batch(features[None])[0], atol=1e-5)
        assert last == {"frames_in": features.shape[1], "frames_out": expected.shape[1]}
        assert code == 1000
    longest = encoding(heard[-1].answers)
    assert longest.shape == (5, 1500)
    assert longest.std(axis=1).min() > 0.05
    assert server.has_streams(0)
    assert server.health()["frames_per_second"] > 0


def test_a_client_is_told_what_the_model_takes(server: Server, archive: Path) -> None:
    async def told() -> Any:
        async with connect(server.url, proxy=None) as socket:
            return json.loads(await receive(socket))

    model = tt.load(archive)
    assert isinstance(model, tt.PulsedModel)
    delay = model.output_streams["encoding"]
    assert delay
    assert asyncio.run(told()) == {
        "input": {
            "name": "features",
            "dtype": "float32",
            "shape": [None, 1, 3],
            "pulse": 8,
            "delay": 0,
        },
        "output": {
            "name": "encoding",
            "dtype": "float32",
            "shape": [None, 1, 5],
            "pulse": 4,
            "delay": delay.delay,
        },
        "latency": model.latency,
    }


@pytest.mark.parametrize("before", [[], [b""]])
def test_a_stream_without_frames_ends_well(server: Server, before: list[bytes]) -> None:
    async def end() -> Heard:
        async with client(server) as socket:
            for chunk in before:
                await socket.send(chunk)
            await socket.send("end")
            return await hear(socket)

    answers, last, code = asyncio.run(end())

    assert answers == [b"", *before]
    assert last == {"frames_in": 0, "frames_out": 0}
    assert code == 1000


@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        (b"\0" * 11, 1007, "11 bytes: a frame of features has 12 bytes"),
        (message(some_features(3001, 0)), 1007, "S <= 3000"),
        ("stop", 1003, "'stop'"),
        ('{"end', 1003, "end"),
        ("", 1003, "''"),
        ("end" * 10_000, 1003, "endend"),
        (b"\0" * 65_544, 1009, None),
    ],
    ids=["partial frame", "too long a stream", "word", "JSON", "nothing", "long text", "too large"],
)
def test_a_bad_message_is_answered_with_the_reason(
    server: Server, bad: str | bytes, code: int, words: str | None
) -> None:
    async def send() -> Heard:
        async with client(server) as socket:
            await socket.send(message(some_features(20, 0)))
            assert await receive(socket)
            await socket.send(bad)
            return await hear(socket)

    heard = asyncio.run(send())

    assert heard.code == code
    assert heard.answers == []
    assert words is None or words in heard.last["error"]
    assert len(heard.last.get("error", "")) < 300
    assert server.has_streams(0)


def test_a_chunk_that_the_model_refuses_hurts_nobody_else(server: Server, archive: Path) -> None:
    good = [some_features(1000, i) for i in range(10)]

    async def refused() -> Heard:
        async with client(server) as socket:
            for _ in range(4):  # 800 frames at a time, of which 3000 are allowed
                await socket.send(message(some_features(800, 0)))
            return await hear(socket)

    async def all_at_once() -> list[Heard]:
        encoded = (encode(server, f, i) for i, f in enumerate(good))
        return await asyncio.gather(*encoded, *(refused() for _ in range(10)))

    heard = asyncio.run(all_at_once())

    runnable = tt.load(archive).compile()
    assert isinstance(runnable, tt.PulsedRunnable)
    for features, (answers, _, code) in zip(good, heard[:10], strict=True):
        stream = runnable.stream()
        expected = np.concatenate([stream.push(features[None]), stream.flush()], axis=2)[0]
        np.testing.assert_allclose(encoding(answers), expected, atol=1e-6)
        assert code == 1000
    assert {code for _, _, code in heard[10:]} == {1007}
    assert {len(answers) for answers, _, _ in heard[10:]} == {3}


def test_the_65th_connection_is_asked_to_come_back(server: Server) -> None:
    async def crowd() -> tuple[Heard, dict[str, Any], Heard]:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(server)) for _ in range(64)]
            async with connect(server.url, proxy=None) as late:
                refused = await hear(late)
            health = await asyncio.to_thread(server.health)
            await clients[5].send("end")
            assert (await hear(clients[5])).code == 1000
            return refused, health, await encode(server, some_features(30, 0), 0)

    refused, health, later = asyncio.run(crowd())

    assert refused.code == 1013
    assert "64 streams" in refused.last["error"]
    assert (health["streams"], health["capacity"]) == (64, 64)
    assert later.code == 1000
    assert server.has_streams(0)


@pytest.mark.parametrize("answered", [True, False])
def test_a_client_that_vanishes_frees_its_place(server: Server, answered: bool) -> None:
    async def vanish() -> None:
        async with client(server) as socket:
            for _ in range(3):
                await socket.send(message(some_features(900, 0)))
            if answered:
                assert await receive(socket)
            assert (await asyncio.to_thread(server.health))["streams"] == 1
            socket.transport.abort()

    asyncio.run(vanish())

    assert server.has_streams(0)


def test_a_silent_client_loses_its_place(serve: Serve, archive: Path) -> None:
    async def silent() -> Heard:
        async with client(server) as socket:
            return await hear(socket)

    with serve(archive, "--idle", "0.3") as server:
        heard = asyncio.run(silent())

        assert heard.code == 1008
        assert "0.3 seconds" in heard.last["error"]
        assert server.has_streams(0)


def test_a_client_that_takes_no_answers_is_held_back_and_loses_its_place(
    serve: Serve, tmp_path: Path
) -> None:
    widening = tmp_path / "widening.nnef.tgz"
    tt.export_model_to_nnef(
        model=torch.nn.Conv1d(1, 200, 1).eval(),
        args=torch.rand(2, 1, 10),
        file_path_export=tmp_path / "batch.nnef.tgz",
        inference_target=tt.TractNNEF(dynamic_axes={"x": {0: "B", 2: "S"}}),
        input_names=["x"],
        output_names=["y"],
    )
    tt.load(tmp_path / "batch.nnef.tgz").pulse(S=256).save(widening)

    async def deaf() -> int:
        async with client(server) as socket:
            socket.transport.pause_reading()
            sent = 0
            while await asyncio.to_thread(server.health) and sent < 1000:
                try:
                    await asyncio.wait_for(socket.send(b"\0" * 65_536), 2)
                except (ConnectionClosed, asyncio.TimeoutError):
                    break
                sent += 1
            freed = await asyncio.to_thread(server.has_streams, 0)
            socket.transport.abort()
            assert freed
            return sent

    with serve(widening, "--idle", "1", "--capacity", "1") as server:
        assert asyncio.run(deaf()) < 1000


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_sigterm_ends_streams_and_process_in_good_order(serve: Serve, archive: Path) -> None:
    async def terminate() -> list[Heard]:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(server)) for _ in range(3)]
            await clients[0].send(message(some_features(100, 0)))
            assert await receive(clients[0])
            await clients[1].send(message(some_features(1000, 0)))
            server.process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*map(hear, clients))

    with serve(archive) as server:
        heard = asyncio.run(terminate())

        assert server.process.wait(10) == 0
    assert [code for _, _, code in heard] == [1001] * 3
    assert {last["error"] for _, last, _ in heard} == {"the server stops"}


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_sigterm_ends_busy_streams_too(serve: Serve, archive: Path) -> None:
    async def keep_sending(socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(message(some_features(20, 0)))
                await asyncio.sleep(0.005)

    async def busy(socket: ClientConnection) -> Heard:
        sending = asyncio.create_task(keep_sending(socket))
        heard = await hear(socket)
        await sending
        return heard

    async def terminate() -> list[Heard]:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(server)) for _ in range(40)]
            everyone = asyncio.gather(*map(busy, clients))
            await asyncio.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            return await everyone

    with serve(archive) as server:
        heard = asyncio.run(terminate())

        assert server.process.wait(10) == 0
    assert min(len(answers) for answers, _, _ in heard) > 0
    assert [code for _, _, code in heard] == [1001] * 40


def test_what_cannot_be_served_is_refused_at_the_start(batch_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no pulsed model; write one with .*\.pulse\(S=8\)"):
        stream_server.main(batch_archive)
    with pytest.raises(SystemExit, match=r"nowhere\.nnef\.tgz"):
        stream_server.main(tmp_path / "nowhere.nnef.tgz")


def test_a_model_with_two_inputs_is_refused_at_the_start(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y

    tt.export_model_to_nnef(
        model=Sum().eval(),
        args=(torch.rand(2, 10), torch.rand(2, 10)),
        file_path_export=tmp_path / "sum.nnef.tgz",
        inference_target=tt.TractNNEF(dynamic_axes={"x": {0: "B", 1: "S"}, "y": {0: "B", 1: "S"}}),
        input_names=["x", "y"],
        output_names=["sum"],
    )
    tt.load(tmp_path / "sum.nnef.tgz").pulse(S=4).save(tmp_path / "sum_pulse4.nnef.tgz")

    with pytest.raises(SystemExit, match=r"x: .*, y: .*models with one input"):
        stream_server.main(tmp_path / "sum_pulse4.nnef.tgz")


@pytest.mark.slow
def test_without_a_file_an_encoder_is_served(serve: Serve) -> None:
    async def second_of_audio() -> Heard:
        async with client(server) as socket:
            audio = np.random.default_rng(0).standard_normal(16_000, np.float32)
            await socket.send(audio.astype("<f4").tobytes())
            await socket.send("end")
            return await hear(socket)

    with serve() as server:
        answers, last, code = asyncio.run(second_of_audio())

    encoded = np.frombuffer(b"".join(answers), "<f4").reshape(-1, 8)
    assert encoded.std(axis=0).min() > 0.001
    assert last == {"frames_in": 16_000, "frames_out": 98}
    assert code == 1000
