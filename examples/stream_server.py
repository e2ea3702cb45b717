"""A server that computes a stream for each WebSocket connection, many in common turns.

    python examples/stream_server.py encoder_pulse8.nnef.tgz --port 8000

serves a pulsed model with one input and one output; without a file, a small speech encoder
with random weights. Clients connect to ws://127.0.0.1:8000/stream:

- First the server says in JSON what goes in and what comes out: "input" and "output", each with
  name, dtype, shape (null for any number of frames), pulse and delay; and "latency", in frames of
  the input.
- A client's binary message is any number of whole frames, raw, little-endian, one frame after
  another. Each is answered by a binary message with the frames of the output that are ready, laid
  out in the same way, possibly none. All answers end to end are what the batch model gives.
- The text "end" is answered by the frames still to come, then by {"frames_in": ..., "frames_out":
  ...}, and the close code 1000.
- Whatever goes wrong is said as {"error": ...} before the close: 1003 a text that is not "end",
  1007 frames that are not whole or that the model refuses, 1008 too long without a message,
  1011 tract failed, 1013 all streams are taken, 1001 the server stops. A message that is too large
  is closed with 1009 at once.

Clients may send ahead: what the server has not come to yet waits in their socket. GET /healthz
tells how many streams there are.
"""

from __future__ import annotations

import asyncio
import signal
import socket as sockets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from serving.frames import Frames
from serving.rate import Rate
from serving.refused import Refused
from serving.turns import Turns
from torchtract import PooledStream, PulsedModel, load
from torchtract.errors import TorchTractError

STOPS = "the server stops"


class Service:
    """What all connections share."""

    def __init__(self, model: PulsedModel, turns: Turns, idle: float) -> None:
        self.turns, self.idle = turns, idle
        self.input = Frames.of_the_only("input", model.inputs, model.input_streams)
        self.output = Frames.of_the_only("output", model.outputs, model.output_streams)
        self.rate = Rate()
        self.stops = False
        self.description = {
            "input": self.input.description(),
            "output": self.output.description(),
            "latency": model.latency,
        }


@dataclass
class Conversation:
    """A connection that has a stream."""

    service: Service
    socket: WebSocket
    stream: PooledStream
    frames_in: int = 0
    frames_out: int = 0

    async def begin(self) -> None:
        """Tells the client what it can send."""
        # No frames, but of a batch of one: so the stream may end without any.
        await self.service.turns.compute(self.stream, self.service.input.unpack(b""))
        await self.socket.send_json(self.service.description)

    async def exchange(self) -> bool:
        """Answers one message; whether more may follow."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text = message.get("text")
        if text not in (None, "end"):
            raise Refused(1003, f"{text[:40]!r}: send frames as binary messages, or the text end")
        chunk = self.service.input.unpack(message["bytes"]) if text is None else None
        ready = await self.service.turns.compute(self.stream, chunk)
        await self.socket.send_bytes(self.service.output.pack(ready))
        self.frames_out += self.service.output.count(ready)
        if chunk is not None:
            self.frames_in += self.service.input.count(chunk)
            self.service.rate.add(self.service.input.count(chunk))
        return text is None


async def converse(service: Service, socket: WebSocket) -> dict[str, int]:
    """Answers until the client ends the stream; what went in and out."""
    async with service.turns.stream() as stream:
        conversation = Conversation(service, socket, stream)
        await conversation.begin()
        # The time limit is for answers too: a client that takes none would hold its place.
        while await asyncio.wait_for(conversation.exchange(), service.idle):
            if service.stops:  # up to Python 3.11, wait_for may miss that it was cancelled
                raise Refused(1001, STOPS)
    return {"frames_in": conversation.frames_in, "frames_out": conversation.frames_out}


async def leave(socket: WebSocket, code: int, last: dict[str, Any]) -> None:
    """Says the last words, to whoever is there and listens."""

    async def say() -> None:
        await socket.send_json(last)
        await socket.close(code)

    with suppress(asyncio.TimeoutError, WebSocketDisconnect):
        await asyncio.wait_for(say(), 1)


def application(service: Service) -> FastAPI:
    turns = service.turns

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        computing = asyncio.create_task(turns.run())
        yield
        computing.cancel()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/healthz")
    async def health() -> dict[str, int | float]:
        pool = turns.pool
        per_second = service.rate.per_second()
        return {"streams": len(pool), "capacity": pool.capacity, "frames_per_second": per_second}

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await leave(socket, 1000, await converse(service, socket))
        except WebSocketDisconnect:
            pass
        except Refused as refused:
            await leave(socket, refused.code, {"error": str(refused)})
        except asyncio.TimeoutError:
            idle = f"no message for {service.idle:g} seconds, or no answer taken"
            await leave(socket, 1008, {"error": idle})
        except asyncio.CancelledError:
            await leave(socket, 1001, {"error": STOPS})

    return app


class Server(uvicorn.Server):
    """Before it stops, cancels the connections, which say why and close."""

    def __init__(self, service: Service, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        """Ends the connections, then as uvicorn does."""
        self.service.stops = True
        if tasks := list(self.server_state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=2)
        await super().shutdown(sockets)


def pulsed_model(archive: Path | None) -> PulsedModel:
    if archive is None:
        from serving.encoder import seeded_encoder  # with a file, the server needs no torch

        return seeded_encoder()
    model = load(archive)
    if not isinstance(model, PulsedModel):
        sys.exit(f"{archive}: it is no pulsed model; write one with load(...).pulse(S=8).save(...)")
    return model


def main(
    archive: Annotated[Path | None, typer.Argument(help="A file of PulsedModel.save.")] = None,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    capacity: Annotated[int, typer.Option(min=1, help="Connections at once.")] = 64,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    linger: Annotated[float, typer.Option(min=0, help="Seconds to wait for company.")] = 0.002,
    idle: Annotated[float, typer.Option(min=0, help="Seconds without a message.")] = 60,
    max_message: Annotated[
        int, typer.Option(min=1, help="Bytes. A turn takes as long as its longest message.")
    ] = 65536,
) -> None:
    """Serve streams over WebSockets until SIGTERM or Ctrl+C."""
    try:
        model = pulsed_model(archive)
        pool = model.compile(threads=threads).streams(capacity)
        service = Service(model, Turns(pool, linger), idle)
        pool.stream().push(service.input.unpack(b""))  # what it refuses, it refuses everyone
    except (TorchTractError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(model, pool, sep="\n")
    # uvicorn gives the signal that ended it to who had it before.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    config = uvicorn.Config(
        application(service),
        host=host,
        port=port,
        ws="websockets-sansio",  # it reads no further than what it was asked for
        ws_max_size=max_message,
        ws_per_message_deflate=False,  # frames of numbers hardly get smaller
        timeout_graceful_shutdown=5,
    )
    with suppress(KeyboardInterrupt):
        Server(service, config).run()


if __name__ == "__main__":
    typer.run(main)
