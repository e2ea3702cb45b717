"""A stand-in for the binary of tract that the peers would download, though they'd run nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["VERSION", "write_stand_in"]

VERSION = "0.23.8"  # the newest that they know


def write_stand_in(folder: Path) -> Path:
    """Write it to a folder."""
    binary = folder / "tract"
    binary.write_text(f"#!/bin/sh\necho 'tract {VERSION}'\n")
    binary.chmod(0o755)
    return binary
