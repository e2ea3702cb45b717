"""Load NNEF models into tract and run them, in process. Needs numpy, not torch."""

from torchtract.runtime.model import Fact, Model, Runnable, load
from torchtract.runtime.profile import Profile

__all__ = ["Fact", "Model", "Profile", "Runnable", "load"]
