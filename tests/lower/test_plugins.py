"""Lowerings that installed packages bring: loaded once, at the first export, or named as broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness import export
from torchtract.errors import LoweringError
from torchtract.lower import entries, load_plugins, lowering_of, plugins, scoped_lowerings

PACKAGE = Path(__file__).parents[2] / "python"
aten = torch.ops.aten

#: Prints that it is loaded, and lowers an operator that nobody else does.
LOWERING = """
import torch
from torchtract.lower import lowers

print("loaded", __name__)

@lowers(torch.ops.aten._test_string_default.default)
def lowering(builder, dummy, a, b):
    return dummy
"""


def install(folder: Path, package: str, code: str, attribute: str = "") -> None:
    """A distribution with one module, and an entry point that names it or something in it."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(code, "utf-8")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[torchtract.lowerings]\nmine = {module}{attribute}\n", "utf-8"
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages, in a process that has loaded none."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_ended", [])
    for table in ("_ENTRIES", "_REPLACEMENTS"):
        monkeypatch.setattr(entries, table, dict(getattr(entries, table)))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.endswith("_package"):
            del sys.modules[name]


def test_packages_are_loaded_once_in_the_order_of_their_names(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("c-package", "a-package", "b-package"):
        install(site, package, "print(__name__)\ndef register(): print('called')", ":register")
    load_plugins()
    load_plugins()
    assert capsys.readouterr().out.split() == [
        *("a_package", "called", "b_package", "called", "c_package", "called")
    ]


def test_what_a_package_registers_in_a_block_stays(site: Path) -> None:
    install(site, "some-package", LOWERING)
    with scoped_lowerings():
        load_plugins()
    assert lowering_of(aten._test_string_default.default) is not None


@pytest.mark.parametrize(
    ("code", "attribute", "told"),
    [
        ("raise KeyError('oops')", "", "KeyError: 'oops'"),
        ("import sys; sys.exit(3)", "", "SystemExit: 3"),
        ("import no_such_module", "", "No module named 'no_such_module'"),
        ("", ":missing", "no attribute 'missing'"),
        ("number = 3", ":number", "'int' object is not callable"),
        (LOWERING.replace("_test_string_default", "relu"), "", "is not in the schema"),
        (
            LOWERING.replace("_test_string_default", "relu").replace("dummy, a, b", "self"),
            "",
            "lowers it already; say replace=True",
        ),
    ],
    ids=["raises", "exits", "imports", "lacks", "calls", "misfits", "doubles"],
)
def test_a_broken_package_is_named_at_every_export(
    site: Path, code: str, attribute: str, told: str
) -> None:
    install(site, "broken-package", code, attribute)
    texts = []
    for _ in range(2):
        with pytest.raises(
            LoweringError, match=r"^broken-package: its entry point mine = "
        ) as error:
            export(torch.relu, torch.rand(3))
        texts.append(str(error.value))
    assert texts[0] == texts[1]
    assert told in texts[0]


def test_an_interrupted_load_is_tried_again(site: Path) -> None:
    install(site, "slow-package", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()
    (site / "slow_package.py").write_text("print()", "utf-8")
    load_plugins()


@pytest.mark.slow
def test_nothing_is_loaded_before_the_first_export(tmp_path: Path) -> None:
    install(tmp_path, "some-package", "print('loaded')")
    program = f"""
import sys, threading
sys.path[:0] = [{str(tmp_path)!r}, {str(PACKAGE)!r}]
import torchtract
print("torch" in sys.modules)
import torch
def export():
    torchtract.export_model_to_nnef(torch.nn.ReLU().eval(), torch.randn(3), "model.nnef.tar")
print("imported")
threads = [threading.Thread(target=export) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("exported")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["False", "imported", "loaded", "exported"]
