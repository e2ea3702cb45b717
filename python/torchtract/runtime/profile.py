"""Where the time of a run goes."""

from __future__ import annotations


class Profile:
    """Where the time of a run goes."""
