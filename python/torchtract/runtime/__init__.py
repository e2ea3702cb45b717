"""Load NNEF models into tract, look at them, run and measure them. Needs numpy, not torch."""

from torchtract.runtime.fact import Fact, Node
from torchtract.runtime.load import load
from torchtract.runtime.model import Model
from torchtract.runtime.pool import PooledStream, StreamPool
from torchtract.runtime.profile import Profile
from torchtract.runtime.pulsed import PulsedModel, PulsedRunnable, StreamAxis
from torchtract.runtime.runnable import Runnable
from torchtract.runtime.stream import Stream, StreamSnapshot

__all__ = [
    "Fact",
    "Model",
    "Node",
    "PooledStream",
    "Profile",
    "PulsedModel",
    "PulsedRunnable",
    "Runnable",
    "Stream",
    "StreamAxis",
    "StreamPool",
    "StreamSnapshot",
    "load",
]
