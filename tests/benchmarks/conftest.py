"""The options of a benchmark run, what it measures, and the report at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import exporters
from benchmarks.conditions import conditions
from benchmarks.report import Report
from benchmarks.vit import images, seeded_vit

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    group.addoption("--quick", action="store_true", help="one or two rounds: to try, not to quote")
    group.addoption("--report-json", type=Path, metavar="PATH", help="where to write the figures")


@dataclass(frozen=True)
class Archives:
    """The ViT in files: NNEF by ours and by torch-to-nnef, and ONNX."""

    folder: Path

    @property
    def ours(self) -> Path:
        return self.folder / "torchtract.nnef.tgz"

    @property
    def torch_to_nnef(self) -> Path:
        return self.folder / "torch_to_nnef.nnef.tgz"

    @property
    def onnx(self) -> Path:
        return self.folder / "torch.onnx"


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Takes every comparison, and is shown at the end."""
    return pytestconfig.stash.setdefault(_REPORT, Report(conditions()))


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> Callable[[int], int]:
    """How many rounds to make instead of so many."""
    quick: bool = pytestconfig.getoption("--quick")
    return lambda full: min(full, 2) if quick else full


@pytest.fixture(scope="session")
def vit() -> torch.nn.Module:
    return seeded_vit()


@pytest.fixture(scope="session")
def archives(vit: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """The files, made once; to the exports that are measured this is the warm-up."""
    made = Archives(tmp_path_factory.mktemp("vit"))
    exporters.export(exporters.OURS, made.ours)
    exporters.export(exporters.TORCH_TO_NNEF, made.torch_to_nnef)
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        vit, (images(2),), made.onnx, dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    report = config.stash.get(_REPORT, None)
    if report is None:
        return
    terminalreporter.section("measured")
    Console(width=None if sys.stdout.isatty() else 120).print(report)
    if path := config.getoption("--report-json"):
        report.write(path)
        terminalreporter.write_line(f"written to {path}")
