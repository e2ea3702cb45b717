"""What `torchtract.llm.export` says of models, folders and tokenizers that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models

from llm.families import tiny
from llm.sources import change_config, change_file, write_source
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


@pytest.mark.parametrize("check_io", [True, False])
def test_weights_without_a_place_are_refused(check_io: bool, folder: Path, tmp_path: Path) -> None:
    change_config(folder, num_hidden_layers=1)
    with pytest.raises(CaptureError, match=r"hold 9 tensors .* such as model\.layers\.1\..*config"):
        llm.export(folder, tmp_path / "m.nnef.tar", check_io=check_io)


def test_weights_that_models_used_to_have_are_left_out(tmp_path: Path) -> None:
    folder = write_source(tiny(LLAMA), tmp_path / "hf")
    change_file(folder, **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    assert llm.export(folder, tmp_path / "m.nnef.tar", check_io=False).exists()


@pytest.mark.parametrize("check_io", [True, False])
@pytest.mark.parametrize("index", ["[]", "{}", "{", '{"weight_map": 3}'])
def test_a_broken_index_is_told(index: str, check_io: bool, folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CaptureError, match=r"index\.json: can't be read.*no weight_map"):
        llm.export(folder, tmp_path / "m.nnef.tar", check_io=check_io)


@pytest.mark.parametrize("check_io", [True, False])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut, r"model\.safetensors: can't be read"),
        (without_config, "it has no config.json"),
        (of_other_sizes, r"have other shapes there, such as model\.layers\.0\.mlp\.down_proj"),
    ],
)
def test_what_is_spoilt_is_named(
    spoil: Any, says: str, check_io: bool, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(CaptureError, match=says):
        llm.export(folder, tmp_path / "m.nnef.tar", check_io=check_io)


def cut_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:100])


def more_tokens(folder: Path) -> None:
    vocabulary = {str(i): i for i in range(98)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="0")).save(str(folder / "tokenizer.json"))


def broken_settings(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[1")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut_tokenizer, r"tokenizer\.json: no tokenizer can be read from it.*whole tokenizer"),
        (more_tokens, "has 98 tokens and the model 97: it is another model's; give the folder"),
        (broken_settings, r"tokenizer_config\.json: no JSON can be read"),
    ],
)
def test_a_tokenizer_that_can_not_be_loaded_is_refused(
    spoil: Any, says: str, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(FormatError, match=says):
        llm.export(folder, tmp_path / "out", check_io=False)
    assert not (tmp_path / "out").exists()
    assert llm.export(folder, tmp_path / "m.nnef.tar", check_io=False).exists()
