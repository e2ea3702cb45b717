"""`torchtract.llm.export`: what it takes, what it writes, and what it refuses."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedModel

from llm.families import tiny
from torchtract import llm, load
from torchtract.errors import CaptureError, FormatError, MismatchError

LLAMA = "LlamaForCausalLM"


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny(LLAMA)


@pytest.fixture
def folder(llama: PreTrainedModel, tmp_path: Path) -> Path:
    """A model and a tokenizer in the format of Hugging Face."""
    path = tmp_path / "hf"
    llama.save_pretrained(path)
    Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    return path


def test_the_file_says_what_it_is(llama: PreTrainedModel, tmp_path: Path) -> None:
    model = load(llm.export(llama, tmp_path / "m.nnef.tgz"))
    assert [fact.name for fact in model.inputs] == [
        "input_ids",
        *(f"in_cache_{kind}_{i}" for i in range(2) for kind in ("key", "value")),
    ]
    assert [fact.name for fact in model.outputs] == [
        "logits",
        *(f"out_cache_{kind}_{i}" for i in range(2) for kind in ("key", "value")),
    ]
    assert set(model.assertions) == {
        *("P >= 0", "S >= 1", "P+S < 97"),
        *("tg: S == 1", "pp: P == 0", "chunk: P >= 1"),
    }
    told = json.loads(model.properties["torchtract.llm"])
    assert told == {"architecture": LLAMA, "eos_token_id": 2, "logits": "last", "max_length": 96}


def test_a_folder_goes_to_a_folder(folder: Path, llama: PreTrainedModel, tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        written = llm.export(folder, tmp_path / "out", check_io=False)
    assert {file.name for file in written.iterdir()} == {
        *("model.nnef.tar", "config.json", "generation_config.json"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    session = load(written / "model.nnef.tar").causal().session()
    ids = torch.tensor([[5, 6, 7]])
    expected = llama(ids).logits[0, -1].detach().numpy()
    np.testing.assert_allclose(session.push([5, 6, 7]), expected, rtol=1e-4, atol=1e-5)


def test_all_logits(llama: PreTrainedModel, tmp_path: Path) -> None:
    model = load(llm.export(llama, tmp_path / "m.nnef.tar", logits="all")).set(P=0, S=5).compile()
    ids = torch.arange(5)[None] + 9
    logits, *_ = model(ids, *[np.zeros((1, 2, 0, 8), np.float32)] * 4)
    np.testing.assert_allclose(logits, llama(ids).logits.detach(), rtol=1e-4, atol=1e-4)


def test_half_precision(tmp_path: Path) -> None:
    model = load(llm.export(tiny(LLAMA), tmp_path / "m.nnef.tar", dtype=torch.float16))
    assert {str(fact.dtype) for fact in model.inputs} == {"int64", "float16"}
    assert model.causal().session().push([4, 5]).dtype == np.float32


def test_tied_embeddings_are_written_once(tmp_path: Path) -> None:
    for tied in (True, False):
        model = tiny(LLAMA, tie_word_embeddings=tied)
        file = llm.export(model, tmp_path / f"{tied}.nnef.tar", check_io=False)
        with tarfile.open(file) as archive:
            weights = [member for member in archive if member.name.endswith(".dat")]
            tables = [weight for weight in weights if weight.size >= 97 * 32 * 4]
        assert len(tables) == (1 if tied else 2)


def test_a_shard_that_is_missing_is_told(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CaptureError, match=r"model\.layers\.1\.mlp\.up_proj\.weight.*complete"):
        llm.export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quantize", [None, "q4_0"])
@pytest.mark.parametrize("family", [LLAMA, "LlamaForCausalLM of version 3", "GPT2LMHeadModel"])
def test_weights_may_stay_in_their_files(
    family: str, quantize: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family)
    model.save_pretrained(tmp_path / "hf", max_shard_size="20KB")
    assert len(list((tmp_path / "hf").glob("*.safetensors"))) > 2
    whole = llm.export(model, tmp_path / "whole.nnef.tar", check_io=False, quantize=quantize)
    monkeypatch.setattr("torchtract.llm.exporter.read_model", None)
    parts = llm.export(
        tmp_path / "hf", tmp_path / "parts.nnef.tar", check_io=False, quantize=quantize
    )
    assert parts.read_bytes() == whole.read_bytes()


def test_weights_that_transformers_fuses_are_read_by_it(tmp_path: Path) -> None:
    model = tiny("MixtralForCausalLM")
    model.save_pretrained(tmp_path / "hf")
    whole = llm.export(model, tmp_path / "whole.nnef.tar", check_io=False)
    parts = llm.export(tmp_path / "hf", tmp_path / "parts.nnef.tar", check_io=False)
    assert parts.read_bytes() == whole.read_bytes()


def test_a_missing_file_of_weights_is_told(tmp_path: Path) -> None:
    tiny(LLAMA).save_pretrained(tmp_path / "hf", max_shard_size="20KB")
    next((tmp_path / "hf").glob("*-00002-*.safetensors")).unlink()
    for check_io in (True, False):
        with pytest.raises(CaptureError, match="00002"):
            llm.export(tmp_path / "hf", tmp_path / "m.nnef.tar", check_io=check_io)


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


def test_a_name_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no/such-model: can't be read"):
        llm.export("no/such-model", tmp_path / "m.nnef.tgz")


def test_a_folder_without_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FormatError, match=r"tokenizer.*\.nnef\.tgz for the model alone"):
        llm.export(folder, tmp_path / "out")
    llm.export(folder, tmp_path / "m.nnef.tgz", check_io=False)


def test_a_folder_of_others_is_not_overwritten(llama: PreTrainedModel, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(FormatError, match="something else"):
        llm.export(llama, tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").exists()


def test_a_model_that_keeps_something_else_is_refused(tmp_path: Path) -> None:
    import transformers as hf

    config = hf.MambaConfig(vocab_size=97, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(CaptureError, match="can't be exported with a cache"):
        llm.export(hf.MambaForCausalLM(config), tmp_path / "m.nnef.tgz")


@pytest.mark.parametrize("logits", ["first", None])
def test_logits_are_the_last_or_all(logits: Any, llama: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'last' or 'all'"):
        llm.export(llama, tmp_path / "m.nnef.tgz", logits=logits)


def test_a_length_beyond_the_models_own_is_refused(tmp_path: Path) -> None:
    model = tiny("GPT2LMHeadModel")
    with pytest.raises(CaptureError, match="max_length=97"):
        llm.export(model, tmp_path / "m.nnef.tgz", max_length=97)
    file = llm.export(model, tmp_path / "m.nnef.tgz", max_length=40)
    assert load(file).causal().max_length == 40


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = tiny(LLAMA).train()
    before = model.config._attn_implementation
    llm.export(model, tmp_path / "m.nnef.tar", check_io=False, dtype=torch.float16)
    llm.export(model, tmp_path / "m.nnef.tar", check_io=False)
    assert model.config._attn_implementation == before
    assert model.training
    assert model.lm_head.training
    assert model.dtype == torch.float32


def test_a_session_that_differs_is_refused(
    llama: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchtract.runtime.causal import Session

    push = Session.push
    monkeypatch.setattr(Session, "push", lambda *args: push(*args) + 0.1)
    with pytest.raises(MismatchError, match=r"after 5 tokens.*'approximate'"):
        llm.export(llama, tmp_path / "m.nnef.tgz")
    assert not list(tmp_path.iterdir())
