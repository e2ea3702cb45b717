"""A server for a language model that speaks OpenAI's protocol.

    python examples/openai_server.py llama --port 8000

serves a folder that torchtract.llm.export wrote. Then any client of OpenAI's does:

    client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
    client.chat.completions.create(model="llama", messages=[...], stream=True)

There are /v1/models, /v1/completions and /v1/chat/completions, streamed or not; top_k, min_p,
repetition_penalty and chat_template_kwargs may come in extra_body. A client that is silent about
sampling gets what the folder's generation_config.json says. What the protocol has beyond that, such
as logprobs, is refused, unless it asks for nothing. A client that leaves ends its text.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from serving.openai_replies import CHAT, COMPLETION, DONE, Form, Reply, error, event
from serving.openai_requests import Asked, BadRequest, ChatRequest, CompletionRequest
from torchtract import llm
from torchtract.errors import GenerationError, TorchTractError
from torchtract.llm import Generation, TextStream

CLIENT_GONE = 499
"""As nginx has it: nobody reads it."""


class Service:
    """A model, its name, and who computes."""

    def __init__(self, lm: llm.LanguageModel, name: str, parallel: int) -> None:
        self.lm = lm
        self.turns = asyncio.Semaphore(parallel)
        self.model = {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "torchtract",
        }

    async def answer(self, form: Form, asked: Asked, request: Request) -> Response:
        """Generates what is asked for, in one piece or as a stream."""
        if asked.model != self.model["id"]:
            return no_such_model(asked.model)
        streams = await asyncio.to_thread(asked.streams, self.lm)
        reply = Reply(form, asked.model, asked.n or 1)
        if asked.stream:
            events = self.events(reply, streams, asked.counts)
            return StreamingResponse(events, media_type="text/event-stream")
        return await self.whole(reply, streams, request)

    async def pieces(self, streams: list[TextStream]) -> AsyncIterator[tuple[int, str | None]]:
        """All pieces of one text after the other, and None at the end of each."""
        try:
            for index, stream in enumerate(streams):
                piece: str | None = ""
                while piece is not None:
                    # Clients take turns piece by piece: one that reads slowly holds up nobody.
                    async with self.turns:
                        piece = await asyncio.to_thread(next, stream, None)
                    yield index, piece
        finally:
            # Also when the client left: then nobody waits for the rest.
            for stream in streams:
                stream.cancel()

    async def events(
        self, reply: Reply, streams: list[TextStream], counts: bool
    ) -> AsyncIterator[str]:
        """The texts as server-sent events."""
        try:
            begun = -1
            async for index, piece in self.pieces(streams):
                if index > begun and (begin := reply.begin(index)):
                    yield event(begin)
                begun = index
                if piece is None:
                    yield event(reply.end(index, result_of(streams[index])))
                else:
                    yield event(reply.part(index, piece))
            if counts:
                yield event(reply.counts([result_of(stream) for stream in streams]))
            yield DONE
        except TorchTractError as failure:  # too late for another status
            yield event(error(str(failure), "server_error"))

    async def whole(self, reply: Reply, streams: list[TextStream], request: Request) -> Response:
        """The texts in one piece, unless nobody waits for them any more."""

        async def compute() -> None:
            async for _ in self.pieces(streams):
                pass

        work = asyncio.create_task(compute())
        gone = asyncio.create_task(until_gone(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return Response(status_code=CLIENT_GONE)
            work.result()
            return JSONResponse(reply.whole([result_of(stream) for stream in streams]))
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)


async def until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def result_of(stream: TextStream) -> Generation:
    assert stream.result is not None
    return stream.result


def no_such_model(name: str) -> JSONResponse:
    told = error(f"model: there is no {name!r} here", param="model", code="model_not_found")
    return JSONResponse(told, 404)


def application(lm: llm.LanguageModel, name: str, parallel: int = 1) -> FastAPI:
    service = Service(lm, name, parallel)
    app = FastAPI(openapi_url=None)
    tell_errors(app)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [service.model]}

    @app.get("/v1/models/{asked:path}")
    async def model(asked: str) -> JSONResponse:
        return JSONResponse(service.model) if asked == name else no_such_model(asked)

    @app.post("/v1/completions")
    async def completions(asked: CompletionRequest, request: Request) -> Response:
        return await service.answer(COMPLETION, asked, request)

    @app.post("/v1/chat/completions")
    async def chat(asked: ChatRequest, request: Request) -> Response:
        return await service.answer(CHAT, asked, request)

    return app


def tell_errors(app: FastAPI) -> None:
    """Has every error told in OpenAI's shape."""

    @app.exception_handler(BadRequest)
    async def bad(_: Request, why: BadRequest) -> JSONResponse:
        return JSONResponse(error(str(why), param=why.param, code=why.code), 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, why: RequestValidationError) -> JSONResponse:
        first = why.errors()[0]
        param = next((str(part) for part in first["loc"][1:2]), None)
        return JSONResponse(error(f"{param or 'body'}: {first['msg']}", param=param), 400)

    @app.exception_handler(TorchTractError)
    async def refused(_: Request, why: TorchTractError) -> JSONResponse:
        if isinstance(why, GenerationError):
            return JSONResponse(error(str(why)), 400)
        return JSONResponse(error(str(why), "server_error"), 500)

    @app.exception_handler(HTTPException)
    async def other(_: Request, why: HTTPException) -> JSONResponse:
        return JSONResponse(error(str(why.detail)), why.status_code)


def main(
    folder: Annotated[Path, typer.Argument(help="What torchtract.llm.export wrote.")],
    name: Annotated[str | None, typer.Option(help="Of the model. Without: the folder's.")] = None,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    threads: Annotated[int, typer.Option(min=1, help="That share the work of a token.")] = 1,
    parallel: Annotated[int, typer.Option(min=1, help="Tokens computed at once.")] = 2,
    prompt_cache: Annotated[int, typer.Option(min=0, help="Texts remembered.")] = 8,
) -> None:
    """Serve a language model in OpenAI's protocol until SIGTERM or Ctrl+C."""
    try:
        lm = llm.load(folder, threads=threads, prompt_cache=prompt_cache)
    except (TorchTractError, OSError) as failure:
        sys.exit(str(failure))
    print(lm)
    app = application(lm, name or folder.resolve().name, parallel)
    with suppress(KeyboardInterrupt):
        uvicorn.run(app, host=host, port=port, timeout_graceful_shutdown=5)


if __name__ == "__main__":
    typer.run(main)
