"""Clients of the stream server."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from examples.conftest import Server

Array = npt.NDArray[np.float32]


class Heard(NamedTuple):
    """What a client was sent after the description."""

    answers: list[bytes]
    last: dict[str, Any]
    code: int


def some_features(frames: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((3, frames), np.float32)


def message(features: Array) -> bytes:
    """[3, frames] as a client sends them."""
    return features.T.astype("<f4").tobytes()


def encoding(answers: list[bytes]) -> Array:
    """The answers as [5, frames]."""
    return np.frombuffer(b"".join(answers), "<f4").reshape(-1, 5).T


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[ClientConnection]:
    """A connection that was told what the model takes."""
    async with connect(server.url, proxy=None) as socket:
        description = json.loads(await receive(socket))
        assert "input" in description, description
        yield socket


async def receive(socket: ClientConnection) -> str | bytes:
    return await asyncio.wait_for(socket.recv(), 30)


async def hear(socket: ClientConnection) -> Heard:
    """All that comes until the server closes."""
    answers, last = [], {}
    try:
        while True:
            given = await receive(socket)
            if isinstance(given, bytes):
                answers.append(given)
            else:
                last = json.loads(given)
    except ConnectionClosed as closed:
        return Heard(answers, last, closed.rcvd.code if closed.rcvd else 1006)


async def encode(server: Server, features: Array, seed: int) -> Heard:
    """Sends in random chunks: every other client at once, the others with pauses."""
    chance, at, answers = random.Random(seed), 0, []
    async with client(server) as socket:
        while at < features.shape[1]:
            size = chance.choice([0, 1, 7, chance.randrange(400)])
            await socket.send(message(features[:, at : at + size]))
            at += size
            if seed % 2:
                await asyncio.sleep(chance.choice([0, 0.001, 0.01]))
                answer = await receive(socket)
                assert isinstance(answer, bytes)
                answers.append(answer)
        await socket.send("end")
        heard = await hear(socket)
    return heard._replace(answers=[*answers, *heard.answers])
