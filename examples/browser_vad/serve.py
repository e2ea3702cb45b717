"""Silero VAD in the browser: page, engine and models in one folder, and a server for it.

The folder is all there is: any server of files can have it. The two headers that are sent here
make the browser's clock a fine one; the page works without.
"""

from __future__ import annotations

import shutil
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from browser_vad.resampler import RATES, Resampler
from torchtract import TractNNEF, export_model_to_nnef
from vad.network import FRAME, SileroVAD

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).parent / "page"
ENGINE = ROOT / "build" / "browser" / "engine"
SITE = ROOT / "build" / "browser" / "site"


class Handler(SimpleHTTPRequestHandler):
    """Files, always the latest, to pages that share nothing with others."""

    def end_headers(self) -> None:
        """Adds the headers that all answers have."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing of what is asked for."""


def build(site: Path = SITE) -> None:
    """Puts page, engine and models into a folder.

    Raises:
        typer.BadParameter: the engine was not built.
    """
    if not (ENGINE / "engine.wasm").exists():
        raise typer.BadParameter(f"{ENGINE} has no engine: make browser builds it")
    shutil.copytree(PAGE, site, dirs_exist_ok=True)
    shutil.copytree(ENGINE, site / "engine", dirs_exist_ok=True)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # The package's weights are in a TorchScript file, and torch would rather have others.
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
        network = SileroVAD.pretrained()
    export(network, FRAME, "probability", site / "silero_vad.nnef.tgz")
    for rate in RATES:
        resampler = Resampler(rate)
        export(resampler, resampler.step, "resampled", site / f"resampler_{rate}.nnef.tgz")


def export(network: nn.Module, step: int, output: str, path: Path) -> None:
    """Writes a network for any number B of streams and S of samples, a multiple of `step`."""
    export_model_to_nnef(
        model=network.eval(),
        args=0.1 * torch.randn(2, 4 * step),
        file_path_export=path,
        inference_target=TractNNEF(check_io=True, dynamic_axes={"audio": {0: "B", 1: "S"}}),
        input_names=["audio"],
        output_names=[output],
    )


def server(site: Path = SITE, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder on this machine alone; port 0 is one that is free."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(site)))


def main(port: Annotated[int, typer.Option(help="Where to listen.")] = 8000) -> None:
    """Serves the page until it is interrupted."""
    build()
    try:
        httpd = server(port=port)
    except OSError as error:
        raise typer.BadParameter(f"port {port}: {error.strerror}; 0 takes a free one") from error
    with httpd:
        typer.echo(f"http://localhost:{httpd.server_port}  (Ctrl+C ends it)")
        try:
            httpd.serve_forever()
        except KeyboardInterrupt:
            typer.echo()


if __name__ == "__main__":
    typer.run(main)
