"""The house rules that a reviewer would otherwise have to check by hand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "torchtract"
# All but the package's front, which re-exports from everywhere.
MODULES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})
SOURCES = [
    path
    for folder in ("python", "rust", "tests", "examples")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".pyi", ".rs"}
]
MAX_LINES = 400
BANNED_NAMES = {"common", "helper", "helpers", "misc", "other", "others", "util", "utils"}

# For each part of the package, the other parts that it may import.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "sizes": {"errors"},
    "nnef": {"errors"},
    "passes": {"errors", "nnef"},
    "packed_sequences": {"errors"},
    "recurrent": {"errors", "packed_sequences"},
    "module_state": set(),
    "pytrees": set(),
    "whole_modules": {"errors", "module_state", "pytrees"},
    "factorizations": set(),
    "recursive_filters": set(),
    "attention": set(),
    "lower": {
        *("errors", "attention", "nnef", "recurrent", "whole_modules", "factorizations"),
        "recursive_filters",
    },
    "decompose": {"errors", "nnef", "lower"},
    "capture": {
        *("errors", "sizes", "nnef", "recurrent", "module_state", "pytrees"),
        *("whole_modules", "factorizations", "recursive_filters"),
    },
    "shapes": {"errors", "sizes", "capture", "lower"},
    "runtime": {"errors", "sizes", "_native"},
    "npz": {"errors"},
    "check": {"errors", "sizes", "nnef", "passes", "lower", "_native", "runtime"},
    "debug_bundle": {"errors", "nnef", "npz", "check"},
    "every_size": {
        *("errors", "sizes", "nnef", "passes", "lower", "decompose", "capture", "check"),
    },
    # The one place where the exporting half meets the running half.
    "verify": {
        *("errors", "nnef", "_native", "runtime", "check", "debug_bundle"),
    },
    "export": {
        *("errors", "sizes", "nnef", "passes", "lower", "capture", "every_size"),
        *("shapes", "_native", "check", "debug_bundle", "verify"),
    },
    "llm": {
        *("errors", "nnef", "attention", "check", "runtime", "export"),
    },
    "cli": {"errors", "sizes", "npz", "runtime", "check", "debug_bundle", "llm"},
    "__main__": {"cli"},
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to: its first name below torchtract."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_names(tree: ast.AST) -> set[str]:
    """The full names of all that is imported anywhere in a module, for types only included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imported_parts(tree: ast.AST) -> set[str]:
    names = imported_names(tree)
    return {name.split(".")[1] for name in names if name.startswith("torchtract.")}


def loaded_on_import(source: str) -> set[str]:
    """The modules in sys.modules after running `source` in a new interpreter."""
    program = f"import sys; {source}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


def test_names_of_imports() -> None:
    source = """
import a.b
from torchtract.nnef import Graph
def f():
    from torchtract import cli
"""
    tree = ast.parse(source)

    assert imported_names(tree) == {"a.b", "torchtract.nnef.Graph", "torchtract.cli"}
    assert imported_parts(tree) == {"nnef", "cli"}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in ALLOWED, f"say in this test what torchtract.{part} may import"

    forbidden = imported_parts(ast.parse(path.read_text("utf-8"))) - ALLOWED[part] - {part}

    assert not forbidden, f"torchtract.{part} must not import {sorted(forbidden)}"


def test_allowed_imports_have_no_cycle() -> None:
    seen: set[str] = {"_native"}
    for part, parts in ALLOWED.items():
        assert parts <= seen, f"{part} is listed before what it imports: {sorted(parts - seen)}"
        seen.add(part)


def test_nnef_knows_no_torch() -> None:
    for path in (PACKAGE / "nnef").rglob("*.py"):
        imports = imported_names(ast.parse(path.read_text("utf-8")))
        assert not [name for name in imports if name.split(".")[0] == "torch"], relative(path)


def test_the_runtime_loads_no_torch() -> None:
    loaded = loaded_on_import("import torchtract.runtime")

    assert "torchtract._native" in loaded
    assert "torch" not in loaded


def test_text_is_generated_without_torch() -> None:
    loaded = loaded_on_import("import torchtract.llm")

    assert not {"torch", "transformers", "tokenizers", "jinja2"} & loaded


def test_the_package_can_be_imported_without_torch() -> None:
    loaded_on_import("sys.modules['torch'] = None; from torchtract import load")


def test_only_the_engine_names_tract_and_only_native_names_pyo3() -> None:
    engine = (ROOT / "rust" / "engine" / "Cargo.toml").read_text("utf-8")
    native = (ROOT / "rust" / "native" / "Cargo.toml").read_text("utf-8")

    assert not re.findall(r"^(?:pyo3|numpy)\b.*", engine, re.MULTILINE)
    assert not re.findall(r"^tract\b.*", native, re.MULTILINE)


def test_everything_names_the_same_tract() -> None:
    named = {
        file: set(re.findall(pattern, (ROOT / file).read_text("utf-8"), re.MULTILINE))
        for file, pattern in {
            "Cargo.toml": r'^tract-.*"=([\d.]+)"',
            "pyproject.toml": r'"tract==([\d.]+)"',
            "README.md": r"contain tract ([\d.]+\d)",
            "python/torchtract/nnef/schema.py": r'^EMBEDDED.* = "([\d.]+)"',
        }.items()
    }

    assert named == dict.fromkeys(named, named["Cargo.toml"])
    assert len(named["Cargo.toml"]) == 1


def test_files_stay_short() -> None:
    lines = {relative(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}

    assert {path: n for path, n in lines.items() if n > MAX_LINES} == {}


def test_names_say_what_is_inside() -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in SOURCES]

    assert [path.as_posix() for path in paths if BANNED_NAMES & set(path.parts)] == []
