"""Settings that hold for every test."""

from __future__ import annotations

import hypothesis

# The first example pays for imports and caches, so a time limit per example fails by chance.
hypothesis.settings.register_profile("torchtract", deadline=None)
hypothesis.settings.load_profile("torchtract")
