"""A stream server in a process of its own, and what it serves."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch

import torchtract as tt

SERVER = Path(__file__).parents[2] / "examples" / "stream_server.py"


class Encoder(torch.nn.Module):
    """[batch, 3, frames] to [batch, 5, about half of the frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(3, 8, kernel_size=4, stride=2, padding=1)
        self.gru = torch.nn.GRU(8, 5, batch_first=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.gru(self.conv(features).transpose(1, 2))[0]
        return hidden.transpose(1, 2)


@pytest.fixture(scope="session")
def batch_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of at most 3000 frames; its axis of frames is the last."""
    path = tmp_path_factory.mktemp("server") / "encoder.nnef.tgz"
    torch.manual_seed(0)
    tt.export_model_to_nnef(
        model=Encoder().eval(),
        args=torch.rand(2, 3, 40),
        file_path_export=path,
        inference_target=tt.TractNNEF(dynamic_axes={"features": {0: "B", 2: "S"}}),
        input_names=["features"],
        output_names=["encoding"],
        custom_extensions=["tract_assert S <= 3000"],
    )
    return path


@pytest.fixture(scope="session")
def archive(batch_archive: Path) -> Path:
    path = batch_archive.with_name("encoder_pulse8.nnef.tgz")
    tt.load(batch_archive).pulse(S=8).save(path)
    return path


class Server:
    """A process that listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/stream"

    def health(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            told: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return told

    def has_streams(self, count: int) -> bool:
        """Whether it has that many before long."""
        return eventually(lambda: self.health()["streams"] == count)


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


Serve: TypeAlias = "Callable[..., AbstractContextManager[Server]]"


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Runs a server of its own: `with serve(archive, "--idle", "1") as server`."""

    @contextmanager
    def run(*arguments: str | Path) -> Iterator[Server]:
        log = tmp_path_factory.mktemp("log") / "log"
        command = [sys.executable, SERVER, *arguments, "--port", "0"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

        def listens() -> re.Match[str] | None:
            return re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text("utf-8"))

        try:
            eventually(lambda: listens() is not None or process.poll() is not None, 120)
            found = listens()
            assert found, log.read_text("utf-8")
            yield Server(process, int(found[1]))
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(20)
        assert "Traceback" not in log.read_text("utf-8")

    return run


@pytest.fixture(scope="session")
def server(serve: Serve, archive: Path) -> Iterator[Server]:
    """A server with room for 64."""
    with serve(archive) as running:
        yield running
