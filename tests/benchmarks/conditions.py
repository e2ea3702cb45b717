"""What figures hold for: the build of ours, the versions of all, the machine."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from torchtract import _native

__all__ = ["conditions"]

_PACKAGES = (
    *("torchtract", "torch-to-nnef", "tract", "onnxruntime", "torch", "torchvision"),
    *("silero-vad", "numpy"),
)


def conditions() -> dict[str, Any]:
    """All that should be known to judge or to repeat a run, as data for JSON."""
    return {
        "build": _native.__profile__,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load before": round(psutil.getloadavg()[0], 1),  # of an idle machine 0.x
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux's; platform.processor() is empty or vague there
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
