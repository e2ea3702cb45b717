"""torch.export without networkx, which it imports for plans of training that nobody asks for here.

That would take 11 MB and as long as torch.export itself. It is loaded when somebody does ask.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_NAME = "networkx"


class _Later(ModuleType):
    """Stands for a module until something of it is needed."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_torch_export() -> None:
    if _NAME in sys.modules:
        return
    stand_in = _Later(_NAME)
    stand_in.__spec__ = importlib.util.find_spec(_NAME)
    vars(stand_in)["DiGraph"] = object  # for annotations, which are all that is needed now
    sys.modules[_NAME] = stand_in
    try:
        with contextlib.suppress(AttributeError):  # it may need more one day: then it imports more
            importlib.import_module("torch.export._trace")
    finally:
        del sys.modules[_NAME], vars(stand_in)["DiGraph"]


_import_torch_export()
