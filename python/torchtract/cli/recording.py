"""What is streamed from a file: arrays by name, or audio."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torchtract.cli.arrays import Arrays, read_npz
from torchtract.cli.audio import as_input, read_audio
from torchtract.errors import RunError
from torchtract.npz import load_npz
from torchtract.runtime import PulsedModel, PulsedRunnable
from torchtract.runtime.chunks import chunk_of, frames_per_unit

__all__ = ["Recording", "read_recording"]


@dataclass(frozen=True)
class Recording:
    """Inputs of a stream.

    Attributes:
        model: whose inputs they are.
        inputs: by name.
        length: what the stream's symbol is at the end.
        rate: of the symbol in a second, None where the file does not tell.
    """

    model: PulsedModel
    inputs: Arrays
    length: int
    rate: float | None

    @property
    def fixed(self) -> Arrays:
        """The inputs that don't stream."""
        streams = self.model.input_streams
        return {name: array for name, array in self.inputs.items() if streams[name] is None}

    def chunks(self, size: int) -> Iterator[Arrays]:
        """The inputs that stream in chunks of this many of the symbol, the last a shorter one.

        There is at least one, so that a stream without frames knows its other sizes.
        """
        for start in range(0, max(self.length, 1), size):
            yield chunk_of(self.model, self.inputs, start, min(start + size, self.length))


def read_recording(path: Path, others: Path | None, runnable: PulsedRunnable) -> Recording:
    """Reads the inputs of a stream.

    Args:
        path: an ``.npz`` file with an array for each input, by its name; or audio for the one
            input that streams.
        others: an ``.npz`` file with more inputs.
        runnable: whose stream it is.

    Raises:
        OSError: a file can't be opened.
        RunError: a file can't be read, or what is in it does not fit the model.
    """
    rate = None
    with path.open("rb") as file:
        # A pipe, such as `<(ffmpeg ...)` in a shell, can only be read once.
        stream: IO[bytes] = file if file.seekable() else io.BytesIO(file.read())
        if _is_npz(stream, path):
            inputs = load_npz(stream, str(path))
        else:
            inputs, rate = _audio(stream, path, runnable)
    for name, array in (read_npz(others) if others else {}).items():
        if name in inputs:
            raise RunError(f"{others}: {name} is in {path} too; give each input once.")
        inputs[name] = array
    return Recording(runnable.model, inputs, _length(inputs, runnable, path), rate)


def _is_npz(file: IO[bytes], path: Path) -> bool:
    head = file.read(2)
    file.seek(0)
    return head == b"PK" or path.suffix == ".npz"


def _audio(file: IO[bytes], path: Path, runnable: PulsedRunnable) -> tuple[Arrays, float]:
    """Audio as the one input that streams, and how fast that does."""
    audio = read_audio(file, str(path))
    model = runnable.model
    streaming = {name: axis for name, axis in model.input_streams.items() if axis}
    if len(streaming) != 1:
        raise RunError(
            f"{path}: audio goes to one input, and of this model {', '.join(streaming)} stream; "
            "give an .npz file with an array for each."
        )
    ((name, axis),) = streaming.items()
    fact = next(fact for fact in runnable.stream_inputs if fact.name == name)
    rate = audio.rate / (frames_per_unit(model, name) or 1)
    return {name: as_input(audio, fact, axis.axis, str(path))}, rate


def _length(inputs: Arrays, runnable: PulsedRunnable, path: Path) -> int:
    """What the stream's symbol is for all inputs that stream, once they fit the model."""
    model = runnable.model
    names = [fact.name for fact in runnable.stream_inputs]
    takes = f"the model takes {', '.join(names)}"
    if unknown := [name for name in inputs if name not in names]:
        raise RunError(f"{path}: input {unknown[0]}: unknown, {takes}.")
    if missing := [name for name in names if name not in inputs]:
        has = f"there are {', '.join(inputs)}" if inputs else "there are no arrays"
        raise RunError(f"{path}: input {missing[0]}: missing, {has}; {takes}.")
    lengths: dict[str, int] = {}
    for fact in runnable.stream_inputs:
        axis, unit = model.input_streams[fact.name], frames_per_unit(model, fact.name)
        shape = inputs[fact.name].shape
        if len(shape) != len(fact.shape):
            raise RunError(f"{path}: input {fact}: the array has the shape {list(shape)}.")
        if axis and unit:
            if shape[axis.axis] % unit:
                raise RunError(
                    f"{path}: input {fact}: axis {axis.axis} has {shape[axis.axis]} frames, which "
                    f"is no multiple of {unit}; give some more, or fewer."
                )
            lengths[fact.name] = shape[axis.axis] // unit
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {model.symbol}={length}" for name, length in lengths.items())
        raise RunError(f"{path}: inputs of different lengths: {told}.")
    return next(iter(lengths.values()))
