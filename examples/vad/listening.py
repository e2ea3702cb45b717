"""A stream that listens to a microphone, and what is seen of it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from torchtract import Stream
from vad.audio import Array, microphone
from vad.network import FRAME, RATE
from vad.segments import Segment, Segmenter

__all__ = ["Heard", "listen"]

_SHOWN = 50
"""Latest frames that are seen: 1.6 s."""


@dataclass
class Heard:
    """All that came out of a stream so far, and when.

    Attributes:
        samples: how many were pushed.
        loudness: root mean square of the latest chunk.
        probabilities: of speech, one for each frame.
        segments: of speech, those that have ended.
        in_speech: whether one is open.
        computing: seconds that each chunk took.
        latencies: seconds from the end of each frame's sound to its probability; none where
            nothing waited for the sound.
    """

    samples: int = 0
    loudness: float = 0.0
    probabilities: list[float] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    in_speech: bool = False
    computing: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long the sound was."""
        return self.samples / RATE

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for a second of sound."""
        return sum(self.computing) / self.seconds if self.samples else 0.0

    @property
    def pace(self) -> str:
        """How fast it goes, in a few words."""
        factor = f"real-time factor {self.real_time_factor:.4f}"
        if not self.latencies:
            return factor
        middle, worst = 1e3 * np.median(self.latencies), 1e3 * max(self.latencies)
        return f"{factor}, latency {middle:.0f} ms, at most {worst:.0f} ms"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        steps = ".:-=+*#@" if options.ascii_only else "▁▂▃▄▅▆▇█"
        latest = self.probabilities[-_SHOWN:]
        history = "".join(steps[int(probability * 7.99)] for probability in latest)
        decibels = 20 * np.log10(max(self.loudness, 1e-3))
        state = "[bold green]speech[/]" if self.in_speech else "[dim]no speech[/]"
        grid = Table.grid(padding=(0, 2))
        loudness = ProgressBar(60, max(decibels + 60, 0), width=_SHOWN)
        grid.add_row("loudness", loudness, f"{decibels:.0f} dB")
        grid.add_row("probability", Text(history.rjust(_SHOWN)), state)
        grid.add_row("", self.pace, f"{self.seconds:.1f} s")
        yield grid


async def listen(
    stream: Stream, audio: Array, show: Callable[[Heard], object], *, paced: bool
) -> Heard:
    """Pushes samples [S] of whole frames through a stream, in a microphone's chunks.

    Args:
        stream: of the network, with a batch of one.
        audio: what the microphone hears.
        show: is given all that was heard, after each chunk.
        paced: whether chunks come when they have sounded, or all at once.
    """
    heard, segmenter = Heard(), Segmenter()
    started = time.perf_counter() if paced else None
    async for chunk in microphone(audio, started):
        arrived = time.perf_counter()
        probabilities = stream.push(chunk[None])[0]
        done = time.perf_counter()
        heard.computing.append(done - arrived)
        heard.samples += len(chunk)
        heard.loudness = float(np.sqrt(np.mean(chunk**2)))
        for probability in probabilities.tolist():
            heard.probabilities.append(probability)
            if started is not None:
                sounded = started + len(heard.probabilities) * FRAME / RATE
                heard.latencies.append(done - sounded)
        heard.segments += segmenter.push(probabilities.tolist())
        heard.in_speech = segmenter.in_speech
        show(heard)
    stream.flush()  # gives nothing: the last frame was whole, and no output comes late
    heard.segments += segmenter.flush(heard.samples)
    heard.in_speech = False
    return heard
