"""The page's second panel: any model, pulsed and measured, or what is wrong with it, in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from torchtract import TractNNEF, export_model_to_nnef, load


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution that looks ahead, over batches of streams of two features."""
    path = tmp_path_factory.mktemp("models") / "look_ahead.nnef.tgz"
    torch.manual_seed(0)
    export_model_to_nnef(
        torch.nn.Conv1d(2, 3, 5, stride=2, padding=2).eval(),
        torch.rand(2, 2, 8),
        path,
        TractNNEF(dynamic_axes={"x": {0: "B", 2: "S"}}),
        input_names=["x"],
        output_names=["y"],
    )
    return path


def opened(page: Page, path: Path) -> None:
    expect(page.locator("#archive")).to_be_enabled(timeout=20_000)
    page.set_input_files("#archive", path)


def facts(page: Page) -> list[list[str]]:
    expect(page.locator("#facts")).to_be_visible(timeout=20_000)
    return [row.locator("td").all_inner_texts() for row in page.locator("#facts tbody tr").all()]


def test_a_model_is_pulsed_and_measured(page: Page, archive: Path) -> None:
    opened(page, archive)
    expect(page.locator("#model-status")).to_contain_text("look_ahead.nnef.tgz takes x: B,2,S,F32")
    page.fill("#values", "3")
    page.fill("#pulse", "4")
    page.click("#measure")
    pulsed = load(archive).pulse(S=4).set(B=3)
    assert facts(page) == [
        ["input", "x", "3,2,4,F32", "2", "4", "0"],
        ["output", "y", pulsed.outputs[0].spec, "2", "2", str(pulsed.delay)],
    ]
    expect(page.locator("#facts caption")).to_have_text(f"S=4, delay {pulsed.delay}")
    expect(page.locator("#model-status")).to_contain_text(re.compile(r"A pulse takes [\d.]+ ms"))


def test_a_pulse_that_does_not_fit_is_said_and_another_goes(page: Page, archive: Path) -> None:
    opened(page, archive)
    page.fill("#pulse", "3")
    page.click("#measure")
    expect(page.locator("#model-status")).to_contain_text("multiples of 2 do")
    page.fill("#pulse", "2")
    page.click("#measure")
    assert facts(page)


def test_a_pulsed_file_is_measured_at_once(page: Page, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "pulsed.nnef.tgz"
    load(archive).set(B=1).pulse(S=6).save(path)
    opened(page, path)
    assert facts(page)[0][2] == "1,2,6,F32"


def test_a_broken_archive_is_said(page: Page, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.nnef.tgz"
    path.write_bytes(archive.read_bytes()[:-100])
    opened(page, path)
    expect(page.locator("#model-status")).to_contain_text("LoadError")
    expect(page.locator("#model-status")).to_contain_text("damaged or cut short")
    opened(page, archive)
    expect(page.locator("#model-status")).to_contain_text("takes x")


def test_a_model_that_can_not_stream_is_said(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "backward.nnef.tgz"
    export_model_to_nnef(
        torch.nn.GRU(2, 3, bidirectional=True, batch_first=True).eval(),
        torch.rand(2, 8, 2),
        path,
        TractNNEF(dynamic_axes={"x": {0: "B", 1: "S"}}, check_io=False),
        input_names=["x"],
        output_names=["y", "h"],
    )
    opened(page, path)
    page.click("#measure")
    expect(page.locator("#model-status")).to_contain_text("PulseError")


def test_a_model_of_fixed_sizes_is_said(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "fixed.nnef.tgz"
    export_model_to_nnef(
        torch.nn.Linear(2, 3).eval(), torch.rand(2, 2), path, TractNNEF(),
        input_names=["x"], output_names=["y"],
    )  # fmt: skip
    opened(page, path)
    expect(page.locator("#model-status")).to_contain_text("without a symbol, nothing streams")
