"""Audio files: their samples, and where those go in a model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from torchtract.errors import RunError
from torchtract.runtime import Fact

__all__ = ["Audio", "as_input", "read_audio"]

#: From here on, the size that a WAV file has in its head is that of a writer into a pipe, which
#: can't know it.
_UNKNOWN_SIZE = 0x7FFF0000


@dataclass(frozen=True)
class Audio:
    """Samples of an audio file.

    Attributes:
        samples: [channels, samples], float32; whole numbers are scaled to [-1, 1].
        rate: samples in a second.
    """

    samples: npt.NDArray[np.float32]
    rate: int


def read_audio(file: IO[bytes], name: str) -> Audio:
    """Reads a WAV file, or whatever else libsndfile reads.

    Args:
        file: open for reading, and seekable.
        name: what to call it in the error.

    Raises:
        RunError: it is no audio file or a damaged one, or soundfile is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without its shared library
        raise RunError(
            f"{name}: audio can't be read, since that needs soundfile, which is not installed; "
            "pip install 'torchtract[audio]', or give an .npz file."
        ) from error
    _check_size(file, name)
    try:
        with soundfile.SoundFile(file) as audio:
            samples = audio.read(always_2d=True, dtype="float32")
            if len(samples) < audio.frames:
                raise _cut(name, f"{len(samples)} of {audio.frames} samples are there")
            return Audio(np.ascontiguousarray(samples.T), audio.samplerate)
    except soundfile.LibsndfileError as error:
        raise RunError(
            f"{name}: can't be read as audio: {error.error_string or 'it is damaged.'} Give a WAV "
            "file, or an .npz file with an array for each input, by its name."
        ) from error


def _check_size(file: IO[bytes], name: str) -> None:
    """Refuses a WAV file that ends before its own end, which libsndfile reads without a word."""
    head = file.read(8)
    there = file.seek(0, os.SEEK_END)
    file.seek(0)
    declared = 8 + int.from_bytes(head[4:], "little")
    # Some writers count a last byte that makes the size even, and leave it out.
    if head.startswith(b"RIFF") and there + 1 < declared < _UNKNOWN_SIZE:
        raise _cut(name, f"{there} of {declared} bytes are there")


def _cut(name: str, what: str) -> RunError:
    return RunError(f"{name}: the file is cut off, {what}; copy or record it again.")


def as_input(audio: Audio, fact: Fact, axis: int, name: str) -> npt.NDArray[Any]:
    """Gives the samples in an input's shape and type, with a batch of one.

    Args:
        audio: the samples.
        fact: of the input.
        axis: the one for the samples. Any axis of another size than one is for the channels.
        name: of the file, for the error.

    Raises:
        RunError: the input takes no such samples.
    """
    if not fact.dtype.startswith("float"):
        raise RunError(
            f"{name}: audio is floating-point numbers in [-1, 1], and input {fact} takes "
            f"{fact.dtype}; give an .npz file."
        )
    sizes = [size if isinstance(size, int) else 1 for size in fact.shape]
    sizes[axis] = audio.samples.shape[1]
    channel_axes = [i for i, size in enumerate(sizes) if i != axis and size != 1]
    channels = [sizes[i] for i in channel_axes] or [1]
    if channels != [len(audio.samples)]:
        raise RunError(
            f"{name}: audio of {len(audio.samples)} channel(s), and input {fact} takes "
            f"{'x'.join(map(str, channels))} value(s) a frame; give audio of as many channels, or "
            "an .npz file."
        )
    last = bool(channel_axes) and channel_axes[0] > axis
    samples = audio.samples.T if last else audio.samples
    return samples.reshape(sizes).astype(fact.dtype)
