"""networkx stays out of the way until somebody asks for it."""

from __future__ import annotations

import subprocess
import sys

_LATER = """
import sys
import torchtract.export
from torch._functorch._activation_checkpointing import graph_info_provider as torchs
assert "networkx" not in sys.modules
assert torchs.nx.DiGraph({1: [2]}).number_of_edges() == 1
import networkx.algorithms
assert networkx.DiGraph is torchs.nx.DiGraph
"""

_BEFORE = """
import networkx, sys
import torchtract.export
assert sys.modules["networkx"] is networkx
"""


def test_it_is_loaded_when_it_is_asked_for() -> None:
    for script in (_LATER, _BEFORE):
        subprocess.run([sys.executable, "-c", script], check=True)
