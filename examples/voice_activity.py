"""Silero VAD with its real weights, listening: when does somebody speak?

Exports the network that the package `silero-vad` ships, for any number of streams and samples,
compares it with the package's own ONNX model, and lets it listen to a microphone, frame by
frame. The sound is a scene around two sentences of espeak-ng; give a file of yours instead, or
a text that espeak-ng is to speak (`apt install espeak-ng`).
"""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import soundfile
import torch
import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from torchtract import Model, PulsedModel, TractNNEF, check_stream, export_model_to_nnef, load
from vad.audio import SPEECH, Array, Sound, read, scene, speak, whole_frames
from vad.listening import Heard, listen
from vad.network import FRAME, RATE, SileroVAD
from vad.onnx_model import OnnxVAD
from vad.picture import draw

console = Console(highlight=False)


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def sound(path: Path | None, say: str | None) -> tuple[Array, list[Sound]]:
    """Samples [S] of whole frames, and what is known to be no speech in them."""
    if path is not None:
        return whole_frames(read(path)), []
    audio, others = scene(read(SPEECH) if say is None else speak(say))
    return whole_frames(audio), others


def export(audio: Array) -> Model:
    """The network with its weights, for any number B of streams and S of samples."""
    two = torch.from_numpy(np.stack([audio, audio[::-1]])[:, : 4 * FRAME])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "silero_vad.nnef.tgz"
        export_model_to_nnef(
            model=SileroVAD.pretrained(),
            args=two,
            file_path_export=path,
            inference_target=TractNNEF(check_io=True, dynamic_axes={"audio": {0: "B", 1: "S"}}),
            input_names=["audio"],
            output_names=["probability"],
        )
        console.print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, equal to PyTorch")
        return load(path)


def compare(model: Model, pulsed: PulsedModel, audio: Array) -> None:
    """The package's ONNX model, the batch model and the stream on the same sound."""
    ours = model.compile()(audio[None])[0]
    theirs = OnnxVAD().probabilities(audio)
    console.print(
        f"beside the package's ONNX model: {len(ours)} frames, probabilities from "
        f"{theirs.min():.3f} to {theirs.max():.3f}, all within {np.abs(ours - theirs).max():.0e}"
    )
    inputs = {"audio": np.stack([audio, audio[::-1]])}
    report = check_stream(model, inputs, pulsed=pulsed, lengths=[FRAME, len(audio)])
    console.print(f"stream beside batch, chunks of any length: all within {report.max_abs:.0e}")


def speech_table(heard: Heard) -> Table:
    table = Table("", "from", "to", "mean probability", title="speech", title_justify="left")
    for number, segment in enumerate(heard.segments, 1):
        first, last = (int(at * RATE / FRAME) for at in (segment.start, segment.end))
        mean = np.mean(heard.probabilities[first : last + 1])
        table.add_row(str(number), f"{segment.start:.2f} s", f"{segment.end:.2f} s", f"{mean:.2f}")
    return table


def main(
    path: Annotated[
        Path | None,
        typer.Argument(help="A sound file.", exists=True, dir_okay=False, show_default=False),
    ] = None,
    *,
    say: Annotated[
        str | None, typer.Option(help="A text for espeak-ng to speak.", show_default=False)
    ] = None,
    fast: Annotated[
        bool,
        typer.Option("--fast/--paced", help="Don't wait for the sound; so without a terminal."),
    ] = not console.is_terminal,
    plot: Annotated[Path, typer.Option(help="Where to draw it.")] = Path("voice_activity.png"),
) -> None:
    """Listens to a scene, a file or a text, and says when somebody speaks."""
    mpl.use("agg")
    try:
        audio, others = sound(path, say)
    except (soundfile.LibsndfileError, FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error

    step("1. Export the network with the weights that the package silero-vad ships")
    model = export(audio)
    console.print(*model.inputs, *model.outputs, sep="\n", markup=False)

    step("2. Pulse it: a frame of 32 ms at a time, and no output comes late")
    pulsed = model.pulse(S=FRAME)
    console.print(pulsed)
    compare(model, pulsed, audio)

    step("3. Listen to a microphone that gives 20 ms at a time")
    stream = pulsed.set(B=1).compile().stream()
    with Live(console=console, auto_refresh=False) as live:
        heard = asyncio.run(
            listen(stream, audio, lambda heard: live.update(heard, refresh=True), paced=not fast)
        )

    step("4. What it heard")
    console.print(speech_table(heard) if heard.segments else "no speech")
    frame = 1e6 * sum(heard.computing) / len(heard.probabilities)
    console.print(
        f"{heard.seconds:.1f} s of sound, {len(heard.probabilities)} frames, "
        f"{frame:.0f} us of computing for each\n{heard.pace}"
    )
    if heard.latencies:
        console.print(
            "(latency: from the end of a frame's sound; its chunk ends up to 20 ms later)"
        )
    draw(plot, audio, heard.probabilities, heard.segments, others)
    console.print(f"drawn to {plot}", markup=False)


if __name__ == "__main__":
    # The package's weights are in a TorchScript file, and torch would rather have others.
    warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
    typer.run(main)
