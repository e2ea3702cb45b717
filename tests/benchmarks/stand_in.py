"""A stand-in for the binary of tract that the peers would download, though they'd run nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_stand_in"]

_TELLS_ITS_VERSION = "#!/bin/sh\necho 'tract 0.23.8'\n"  # the newest that they know


def write_stand_in(folder: Path) -> Path:
    """Write it to a folder."""
    binary = folder / "tract"
    binary.write_text(_TELLS_ITS_VERSION)
    binary.chmod(0o755)
    return binary
