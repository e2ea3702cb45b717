"""What figures hold for: the build of ours, the versions of all, the machine."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from torchtract import _native

__all__ = ["conditions"]

_PACKAGES = (
    *("torchtract", "torch-to-nnef", "tract", "onnxruntime", "torch", "torchvision"),
    *("silero-vad", "transformers", "numpy"),
)
_WHERE_INSTALLED = ("llama-cpp-python",)


def conditions() -> dict[str, Any]:
    """All that should be known to judge or to repeat a run, as data for JSON."""
    return {
        "build": _native.__profile__,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load before": round(psutil.getloadavg()[0], 1),  # of an idle machine 0.x
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES} | _versions_of_rest(),
    }


def _versions_of_rest() -> dict[str, str]:
    installed = {}
    for package in _WHERE_INSTALLED:
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux's; platform.processor() is empty or vague there
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
