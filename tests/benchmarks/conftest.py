"""The options of a benchmark run, what its benchmarks share, and the report at its end."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.archives import Archives
from benchmarks.conditions import conditions
from benchmarks.models import seeded_vit
from benchmarks.report import Report

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    group.addoption("--quick", action="store_true", help="two rounds: to try, not to quote")
    group.addoption("--report-json", type=Path, metavar="PATH", help="where to write the figures")


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Takes every comparison, and is shown at the end."""
    return pytestconfig.stash.setdefault(_REPORT, Report(conditions()))


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> Callable[[int], int]:
    """How many rounds to make where so many are due."""
    quick: bool = pytestconfig.getoption("--quick")
    return lambda due: min(due, 2) if quick else due


@pytest.fixture(scope="session")
def vit() -> torch.nn.Module:
    return seeded_vit()


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that goes away: pytest's tmp_path would keep gigabytes for three runs."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def archives(vit: torch.nn.Module, scratch: Path) -> Archives:
    return Archives.write(vit, scratch)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash.get(_REPORT, None)
    if report is None:
        return
    terminalreporter.section("measured")
    Console(width=None if sys.stdout.isatty() else 120).print(report)
    path: Path | None = config.getoption("--report-json")
    if path is not None:
        report.write(path)
        terminalreporter.write_line(f"written to {path}")
