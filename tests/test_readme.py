"""What the documents show is run: code, commands, examples, links."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
# Tables that are measured, without code.
MEASURED = {ROOT / "docs" / f"{name}.md" for name in ("operators", "models", "causal-models")}
PAGES = sorted({*(ROOT / "docs").glob("*.md")} - MEASURED)
# A server runs until it is told to stop: tests/examples does that.
SERVERS = {ROOT / "examples" / name for name in ("openai_server.py", "stream_server.py")}
EXAMPLES = sorted({*(ROOT / "examples").glob("*.py")} - SERVERS)


def blocks(document: Path, language: str) -> list[str]:
    """The fenced code blocks of a language, each moved down to its own line numbers."""
    text = document.read_text("utf-8")
    fences = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, fence.start(1)) + fence[1] for fence in fences]


def run(*command: str | Path) -> None:
    """Run a command in the current folder, without a terminal, and expect success."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def run_line(line: str) -> None:
    """Run a command line; programs installed beside this Python come first."""
    program, *arguments = shlex.split(line, comments=True)
    scripts = Path(sys.executable).parent
    executable = shutil.which(program, path=f"{scripts}{os.pathsep}{os.environ['PATH']}")
    assert executable, f"{program} is not installed"
    run(executable, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("document", [README, *PAGES], ids=lambda path: path.name)
def test_a_document_runs_from_top_to_bottom(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, console = blocks(document, "python"), blocks(document, "console")
    assert python
    assert console or document != README
    monkeypatch.chdir(tmp_path)

    namespace: dict[str, object] = {}
    for block in python:
        exec(compile(block, document.name, "exec"), namespace)
    for line in "\n".join(console).splitlines():
        if line.startswith("$ "):
            run_line(line.removeprefix("$ "))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    run(sys.executable, example)


@pytest.mark.parametrize("document", [README, CONTRIBUTING], ids=lambda path: path.name)
def test_make_commands_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(blocks(document, "sh"))))

    assert named
    assert named <= targets


@pytest.mark.parametrize("document", [README, CONTRIBUTING, *PAGES], ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8"))
    files = [link for link in links if "://" not in link]

    assert [link for link in files if not (document.parent / link).exists()] == []
