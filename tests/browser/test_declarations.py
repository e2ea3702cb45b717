"""The TypeScript declarations let through what is right, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

USE = Path(__file__).with_name("use.ts")
OPTIONS = "--strict --noEmit --skipLibCheck --target es2022 --moduleResolution node"


def test_a_program_has_the_types_it_says(site: Path) -> None:
    tsc = shutil.which("tsc")
    if tsc is None:
        pytest.fail("no TypeScript was found: apt install node-typescript")
    shutil.copy(USE, site)
    done = subprocess.run(
        [tsc, *OPTIONS.split(), USE.name], check=False, cwd=site, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
