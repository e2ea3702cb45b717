"""Loading a model from its file."""

from __future__ import annotations

import os
from pathlib import Path

from torchtract.runtime.model import Model
from torchtract.runtime.origin import Origin
from torchtract.runtime.pulsed import PulsedModel


def load(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Model:
    """Loads an NNEF model into tract.

    Args:
        source: path of a ``.nnef.tgz``, a ``.nnef.tar`` or a folder, or the bytes of an archive.

    Returns:
        The model; a `PulsedModel` where the file holds one.

    Raises:
        LoadError: there is no such file, it is no archive or a damaged one, or its graph or its
            weights are not what tract takes.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        origin = Origin(bytes(source))
    else:
        origin = Origin.at(Path(source))
    native = origin.load()
    pulsed = native.opened()
    return Model(native, origin) if pulsed is None else PulsedModel(pulsed, origin)
