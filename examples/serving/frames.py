"""Frames as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.refused import Refused
from torchtract.runtime import Fact, StreamAxis


class Frames:
    """How the frames of an input or an output travel: one after another, little-endian.

    So the messages of a stream, put end to end, are the stream, however it is cut.

    Attributes:
        axis: the axis of the frames in the model's own layout.
        shape: of one frame, without that axis. A free axis, the batch, is 1.
        dtype: of the elements.
        nbytes: of one frame.
    """

    def __init__(self, fact: Fact, stream: StreamAxis) -> None:
        self._fact, self._stream = fact, stream
        self.axis = stream.axis
        sizes = [*fact.shape[: self.axis], *fact.shape[self.axis + 1 :]]
        self.shape = tuple(1 if isinstance(size, str) else size for size in sizes)
        self.dtype = np.dtype(fact.dtype).newbyteorder("<")
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    @classmethod
    def of_the_only(
        cls, kind: str, facts: tuple[Fact, ...], streams: Mapping[str, StreamAxis | None]
    ) -> Frames:
        """The frames of the only input, or output.

        Raises:
            ValueError: there are several, or it does not stream.
        """
        if len(facts) == 1 and (stream := streams[facts[0].name]):
            return cls(facts[0], stream)
        raise ValueError(f"{list(facts)}: models with one {kind}, which streams, can be served")

    def unpack(self, message: bytes) -> npt.NDArray[Any]:
        """Gives the frames of a message in the model's layout.

        Raises:
            Refused: the last frame is not whole.
        """
        if len(message) % self.nbytes:
            raise Refused(
                1007,
                f"a message of {len(message)} bytes: a frame of {self._fact.name} has "
                f"{self.nbytes} bytes, and the last one is not whole",
            )
        frames = np.frombuffer(message, self.dtype).reshape(-1, *self.shape)
        return np.moveaxis(frames, 0, self.axis)

    def pack(self, frames: npt.NDArray[Any]) -> bytes:
        """Gives a message with frames that the model gave."""
        return np.moveaxis(frames, self.axis, 0).astype(self.dtype).tobytes()

    def count(self, frames: npt.NDArray[Any]) -> int:
        """How many frames an array in the model's layout has."""
        return int(frames.shape[self.axis])

    def description(self) -> dict[str, Any]:
        """What a client has to know; ``null`` stands for any number of frames."""
        return {
            "name": self._fact.name,
            "dtype": self._fact.dtype,
            "shape": [None, *self.shape],
            "pulse": self._stream.pulse,
            "delay": self._stream.delay,
        }
