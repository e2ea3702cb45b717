"""``torchtract replay``: a bundle runs again without torch, and is compared anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.conftest import Torchtract
from torchtract.debug_bundle import write_debug_bundle

REPORT = {"tolerance": "approximate", "message": "output 'y' at B=3: they differ"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tmp_path / "debug.tgz"


def recorded(
    bundle: Path,
    model: Path,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    report: dict[str, Any] = REPORT,
) -> None:
    write_debug_bundle(bundle, model, inputs, outputs, {}, {"report.json": json.dumps(report)})


def test_what_still_differs(
    torchtract: Torchtract, model: Path, bundle: Path, inputs: Any, outputs: Any
) -> None:
    outputs["y"][1, 2] += 0.01
    recorded(bundle, model, inputs, outputs)

    result = torchtract("replay", bundle)

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "recorded: output 'y' at B=3: they differ"
    assert [line.split()[:2] for line in lines[4:]] == [["y", "differs"], ["next", "ok"]]
    assert result.stderr.startswith("error: output y: 8.33% of the elements differ")


def test_what_is_equal_by_now(
    torchtract: Torchtract, model: Path, bundle: Path, inputs: Any, outputs: Any
) -> None:
    recorded(bundle, model, inputs, outputs)

    result = torchtract("replay", bundle)

    assert result.exit_code == 0
    assert result.stderr == ""


def test_the_tolerance_is_the_recorded_one_unless_another_is_given(
    torchtract: Torchtract, model: Path, bundle: Path, inputs: Any, outputs: Any
) -> None:
    outputs["y"][1, 2] += 0.01

    for level, code in {"very": 0, "close": 1}.items():
        recorded(bundle, model, inputs, outputs, REPORT | {"tolerance": level})
        result = torchtract("replay", bundle)
        assert result.exit_code == code
        assert f"tolerance: {level}" in result.stdout

    assert torchtract("replay", bundle, "--tolerance", "very").exit_code == 0


def test_json(torchtract: Torchtract, model: Path, bundle: Path, inputs: Any, outputs: Any) -> None:
    outputs["y"][0, 0] = np.nan
    recorded(bundle, model, inputs, outputs)

    result = torchtract("replay", "--json", bundle)

    assert result.exit_code == 1
    assert [output["ok"] for output in json.loads(result.stdout)["outputs"]] == [False, True]


def test_bundles_that_do_not_fit(
    torchtract: Torchtract, model: Path, bundle: Path, inputs: Any, outputs: Any
) -> None:
    for wrong_inputs, wrong_outputs, named in (
        (inputs, {"y": outputs["y"]}, "next: this output is not recorded"),
        ({"x": inputs["x"]}, outputs, "input ids: missing"),
    ):
        recorded(bundle, model, wrong_inputs, wrong_outputs)
        result = torchtract("replay", bundle)
        assert result.exit_code == 1
        assert named in result.stderr


def test_a_model_that_tract_refuses(
    torchtract: Torchtract, model: Path, bundle: Path, inputs: Any, outputs: Any
) -> None:
    graph = model / "graph.nnef"
    graph.write_text(graph.read_text().replace("tanh(", "tan_h("))
    recorded(bundle, model, inputs, outputs)

    result = torchtract("replay", bundle)

    assert result.exit_code == 1
    assert "recorded: output 'y'" in result.stdout
    assert "tan_h" in result.stderr


def test_no_bundle(torchtract: Torchtract, model: Path, bundle: Path) -> None:
    bundle.write_text("text")
    missing = bundle.with_name("missing.tgz")

    for path, why in {
        bundle: f"error: {bundle}: can't be read as a debug bundle",
        missing: f"error: {missing}: No such file or directory",
        model: f"error: {model}: Is a directory",
    }.items():
        result = torchtract("replay", path)
        assert result.exit_code == 1
        assert result.stderr.startswith(why)


def test_without_torch(model: Path, bundle: Path, inputs: Any, outputs: Any) -> None:
    recorded(bundle, model, inputs, outputs)
    code = "import sys; sys.modules['torch'] = None; from torchtract.cli import app; app()"
    command = [sys.executable, "-c", code, "replay", str(bundle)]

    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert run.returncode == 0, run.stderr
