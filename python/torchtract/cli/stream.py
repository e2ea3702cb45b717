"""``torchtract stream``: a recording through a pulsed model, a chunk at a time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer

from torchtract.cli.arrays import Arrays, write_npz
from torchtract.cli.options import (
    AsJson,
    Debug,
    ModelPath,
    Settings,
    Threads,
    check_output_path,
    open_model,
    pulse_model,
)
from torchtract.cli.output import brief_errors, doing, print_json, progress, show
from torchtract.cli.recording import Recording, read_recording
from torchtract.cli.run import summary
from torchtract.errors import PulseError, RunError
from torchtract.runtime import Model, PulsedModel, Stream
from torchtract.runtime.chunks import Collected
from torchtract.runtime.tables import Table

__all__ = ["stream"]

_LONGEST_SLEEP = 3600.0
"""Seconds. An operating system refuses to sleep for ages."""


def stream(
    path: ModelPath,
    input_path: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A WAV file for the one input that streams, or an .npz file with an array for "
            "each input, by its name.",
        ),
    ],
    pulse: Annotated[
        str | None,
        typer.Argument(
            metavar="S=8",
            help="For a model that is not pulsed yet: the symbol that streams, and how many "
            "frames a pulse has.",
        ),
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="NPZ", help="Write the outputs to this file."),
    ] = None,
    others: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="NPZ",
            help="An .npz file with the inputs that INPUT lacks, by their names.",
        ),
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Frames in a chunk. Without: a pulse."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="HZ", help="Frames in a second. Without: as the WAV file tells."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Push each chunk when its last frame is due.")
    ] = False,
    settings: Settings = None,
    threads: Threads = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Stream a recording through a model.

    Frames, the chunk and the rate are counted as the symbol that streams does. The outputs are
    written to a file, if one is named, and summed up, with how long the computation took.
    """
    if pulse and "=" not in pulse and "=" in str(input_path):
        pulse, input_path = str(input_path), Path(pulse)  # as the other commands have them
    if rate is not None and not 0 < rate < math.inf:
        raise typer.BadParameter(f"{rate} is no rate.", param_hint="'--rate'")
    with brief_errors(debug):
        check_output_path(output_path, (path, input_path, others))
        pulsed = _pulsed(open_model(path, settings), pulse, path)
        with doing("Compiling"):
            runnable = pulsed.compile(threads=threads)
        recording = read_recording(input_path, others, runnable)
        rate = _rate(recording, rate, input_path)
        if realtime and rate is None:
            raise typer.BadParameter(
                "how long a frame lasts is not known: give --rate.", param_hint="'--realtime'"
            )
        begun = runnable.stream(recording.fixed, rate=rate)
        outputs, took = _run(begun, recording, chunk or pulsed.pulse_size, realtime)
        if output_path is not None:
            write_npz(output_path, outputs)
        found = _found(begun, outputs, took)
        if as_json:
            print_json(found)
        else:
            title = f"{input_path.name} through {path.name}, {pulsed.symbol}={pulsed.pulse_size}"
            show(_table(title, found), summary(outputs, output_path))


def _pulsed(model: Model, pulse: str | None, path: Path) -> PulsedModel:
    if pulse is not None:
        return pulse_model(model, pulse)
    if isinstance(model, PulsedModel):
        return model
    symbols = ", ".join(model.symbols) or "none"
    raise PulseError(
        f"{path}: the model is not pulsed (its symbols: {symbols}); give a pulse too, such as "
        "S=8, or what `torchtract pulse` made of it."
    )


def _rate(recording: Recording, wanted: float | None, path: Path) -> float | None:
    known = recording.rate
    if known is not None and wanted is not None and not math.isclose(known, wanted):
        raise RunError(
            f"{path}: it has {known:g} frames in a second, and --rate says {wanted:g}; resample "
            f"it, or give --rate {known:g}, or none."
        )
    return wanted if known is None else known


@dataclass
class _Took:
    """Seconds that a stream took.

    Attributes:
        computing: all of them.
        pulses: of each pulse; where several came out of a push, its time is shared out.
        late: by how much a chunk came too late, at most; None where none has to be in time.
    """

    computing: float = 0.0
    pulses: list[float] = field(default_factory=list)
    late: float | None = None
    _waiting: float = 0.0

    def add(self, seconds: float, pulses: int) -> None:
        """Takes the time of a push, and how many pulses came out of it."""
        self.computing += seconds
        self._waiting += seconds
        if pulses:
            self.pulses += [self._waiting / pulses] * pulses
            self._waiting = 0.0

    def wait(self, due: float) -> None:
        """Waits until a chunk is due."""
        while (left := due - perf_counter()) > 0:
            time.sleep(min(left, _LONGEST_SLEEP))
        self.late = max(self.late or 0.0, perf_counter() - due)


def _run(stream: Stream, recording: Recording, chunk: int, realtime: bool) -> tuple[Arrays, _Took]:
    """All outputs of the stream, and how long they took."""
    pulse = recording.model.pulse_size
    collected, took = Collected(recording.model), _Took()
    with progress("Streaming", recording.length) as advance:
        began = perf_counter()
        for number, frames in enumerate(recording.chunks(chunk), start=1):
            if realtime and stream.rate:
                took.wait(began + min(number * chunk, recording.length) / stream.rate)
            done = stream.position // pulse
            started = perf_counter()
            outputs = stream.push(**frames)
            took.add(perf_counter() - started, stream.position // pulse - done)
            collected.add(outputs)
            advance(stream.position, _note(stream, took))
        started = perf_counter()
        outputs = stream.flush()
        took.computing += perf_counter() - started
        collected.add(outputs)
    return collected.joined(), took


def _note(stream: Stream, took: _Took) -> str:
    """How far it is, for the line of progress."""
    if stream.rate is None or not stream.position:
        return f"{stream.position} frames"
    factor = took.computing / stream.seconds
    return f"{stream.seconds:.1f} s, real-time factor {factor:.3g}"


def _found(stream: Stream, outputs: Arrays, took: _Took) -> dict[str, Any]:
    """All that is told about a stream that ended, as plain data."""
    model = stream.runnable.model
    timed, quantiles = stream.rate is not None, None
    if took.pulses:
        minimum, median, p99 = np.percentile(took.pulses, [0, 50, 99]).tolist()
        quantiles = {"minimum": minimum, "median": median, "p99": p99}
    axes = model.output_streams.items()
    return {
        "symbol": model.symbol,
        "pulse": model.pulse_size,
        "frames_in": stream.position,
        "frames_out": {name: outputs[name].shape[axis.axis] for name, axis in axes if axis},
        "rate": stream.rate,
        "seconds": stream.seconds if timed else None,
        "computing_seconds": took.computing,
        "real_time_factor": took.computing / stream.seconds if timed and stream.position else None,
        "latency": stream.latency,
        "latency_seconds": stream.latency_seconds if timed else None,
        "pulses": len(took.pulses),
        "pulse_seconds": quantiles,
        "late_seconds": took.late,
    }


def _table(title: str, found: dict[str, Any]) -> Table:
    length, latency = f"{found['frames_in']} frames", f"{found['latency']} frames"
    if found["rate"] is not None:
        length += f", {found['seconds']:.3f} s"
        latency += f", {_milliseconds(found['latency_seconds'])}"
    rows = [
        ("in", length),
        *((f"out, {name}", f"{frames} frames") for name, frames in found["frames_out"].items()),
        ("latency, at most", latency),
        ("time computing", f"{found['computing_seconds']:.3f} s"),
    ]
    if found["real_time_factor"] is not None:
        rows.append(("real-time factor", f"{found['real_time_factor']:.4f}"))
    for name, seconds in (found["pulse_seconds"] or {}).items():
        rows.append((f"time per pulse, {name}", _milliseconds(seconds)))
    if found["late_seconds"] is not None:
        rows.append(("late, at most", _milliseconds(found["late_seconds"])))
    return Table(title, ("", ">"), tuple(rows))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"
