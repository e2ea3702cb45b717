"""The options of a run over PyTorch's samples, and what it leaves: counts by operator and type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opinfo.record import Record


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("PyTorch's samples of its operators")
    group.addoption("--samples", type=int, default=2, help="of each, by default 2; 0 for all")
    group.addoption("--dtypes", default="float32", help="element types by commas, or all")
    group.addoption("--exporter", default="torchtract", help="or torch-to-nnef, to count only")
    group.addoption("--record", type=Path, metavar="PATH", help="JSON file that takes the counts")


def pytest_configure(config: pytest.Config) -> None:
    path: Path | None = config.getoption("--record")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(path.absolute()))


class _Recorder:
    """Takes the counts of each test, also from the processes of pytest-xdist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = Record.read(path) if path.exists() else Record()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "test_opinfo.py::test_operator[" not in report.nodeid or report.when == "teardown":
            return
        operator, _, dtype = report.nodeid.partition("[")[2].rstrip("]").rpartition("-")
        given: dict[str, Any] = dict(report.user_properties)
        if "samples" in given:
            self.record.add(operator, dtype, given["samples"])
        elif report.failed:
            reason = "it hung, or ended the process"
            self.record.add(
                operator, dtype, {"counts": {"failed": 1}, "reason": reason, "seconds": []}
            )

    def pytest_sessionfinish(self) -> None:
        self.record.write(self.path)
