"""What `torchtract.llm.export` says of models, folders and tokenizers that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llm.families import tiny
from llm.sources import change_file, write_source
from torchtract import llm
from torchtract.errors import CaptureError, FormatError

LLAMA = "LlamaForCausalLM"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_source(tiny(LLAMA), tmp_path / "hf")


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def without_model(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def of_an_encoder(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "vit"}')


def of_other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 52}))


@pytest.mark.parametrize(
    "spoil", [cut, without_model, without_config, of_an_encoder, of_other_sizes]
)
@pytest.mark.parametrize("check_io", [True, False])
def test_a_spoilt_folder_is_refused(
    spoil: Any, check_io: bool, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(CaptureError, match=str(folder)):
        llm.export(folder, tmp_path / "out", check_io=check_io)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("check_io", [True, False])
@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    value: float, check_io: bool, folder: Path, tmp_path: Path
) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    weight = load_file(folder / "model.safetensors")[name]
    weight[3, 5] = value
    change_file(folder, **{name: weight})
    with pytest.raises(FormatError, match=r"up_proj\.weight: has .* not finite or beyond 65504"):
        llm.export(folder, tmp_path / "out", dtype=torch.float16, check_io=check_io)
    assert not (tmp_path / "out").exists()


def test_logits_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = tiny(LLAMA).half()
    with torch.no_grad():
        model.lm_head.weight.fill_(6e4)
    with pytest.raises(CaptureError, match="logits that are not finite in float16"):
        llm.export(model, tmp_path / "m.nnef.tar")


def test_only_nan_is_refused_in_buffers(tmp_path: Path) -> None:
    model = tiny(LLAMA)
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    llm.export(model, tmp_path / "m.nnef.tar", check_io=False)
    model.register_buffer("mask", torch.tensor([0.0, float("nan")]))
    with pytest.raises(FormatError, match="mask: has values that are NaN"):
        llm.export(model, tmp_path / "m.nnef.tar", check_io=False)
