"""`torchtract.llm.export`: what it takes, what it writes, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from llm.families import ENCODER_DECODERS, FAMILIES, tiny
from llm.sources import change_config, change_file, write_source
from torchtract import llm, load
from torchtract.errors import CaptureError, FormatError, MismatchError
from torchtract.llm.exporter.shards import model_without_weights
from torchtract.llm.exporter.source import read_model

LLAMA = "LlamaForCausalLM"
#: Of these a file has a weight for each expert, where the model has one for all of a layer.
EXPERTS_ONE_BY_ONE = {
    *("MixtralForCausalLM", "Qwen2MoeForCausalLM"),
    *("DeepseekV3ForCausalLM", "AfmoeForCausalLM"),
}


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny(LLAMA)


@pytest.fixture
def folder(llama: PreTrainedModel, tmp_path: Path) -> Path:
    """A model and a tokenizer in the format of Hugging Face."""
    return write_source(llama, tmp_path / "hf")


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


def test_weights_that_transformers_fuses_are_read_by_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny("MixtralForCausalLM")
    model.save_pretrained(tmp_path / "hf")
    whole = llm.export(model, tmp_path / "whole.nnef.tar", check_io=False)
    parts = llm.export(tmp_path / "hf", tmp_path / "parts.nnef.tar", check_io=False)
    assert parts.read_bytes() == whole.read_bytes()
    assert "all weights are read at once" in caplog.text
    assert "is a part of model.layers.0.mlp.experts" in caplog.text


@pytest.mark.parametrize("family", [*FAMILIES, *ENCODER_DECODERS])
def test_weights_in_files_are_those_that_transformers_reads(family: str, tmp_path: Path) -> None:
    """Under other names, tied, computed and in buffers: all but experts one by one."""
    tiny(family).save_pretrained(tmp_path)
    found = model_without_weights(tmp_path, None, trust_remote_code=False)
    if family in EXPERTS_ONE_BY_ONE:
        assert found is None
        return
    assert found is not None
    held, loads = found
    for name, expected in read_model(tmp_path, None, trust_remote_code=False).state_dict().items():
        actual = loads[name]() if name in loads else held.state_dict()[name]
        np.testing.assert_array_equal(actual, expected, name)


def test_a_tied_weight_that_differs_is_its_own(folder: Path, tmp_path: Path) -> None:
    change_config(folder, tie_word_embeddings=True)  # with another lm_head.weight in the file
    whole = llm.export(folder, tmp_path / "whole.nnef.tar")
    parts = llm.export(folder, tmp_path / "parts.nnef.tar", check_io=False)
    ids = [5, 6, 7]
    expected = load(whole).causal().session().push(ids)
    np.testing.assert_array_equal(load(parts).causal().session().push(ids), expected)


@pytest.mark.parametrize("spoilt", ["other tensors", "codes", "quantised"])
def test_files_of_something_else_are_read_by_transformers(
    spoilt: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spoilt == "other tensors":
        change_file(folder, scale=torch.ones(3))
    elif spoilt == "codes":
        change_file(folder, **{"lm_head.weight": torch.ones(97, 32).to(torch.float8_e4m3fn)})
    else:
        change_config(folder, quantization_config={"quant_method": "fp8"})
    monkeypatch.setattr("torchtract.llm.exporter.read_model", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        llm.export(folder, tmp_path / "m.nnef.tar", check_io=False)


def test_a_missing_file_of_weights_is_told(tmp_path: Path) -> None:
    tiny(LLAMA).save_pretrained(tmp_path / "hf", max_shard_size="20KB")
    next((tmp_path / "hf").glob("*-00002-*.safetensors")).unlink()
    for check_io in (True, False):
        with pytest.raises(CaptureError, match="00002"):
            llm.export(tmp_path / "hf", tmp_path / "m.nnef.tar", check_io=check_io)


def test_a_name_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"no/such-model: .* nor has Hugging Face's cache"):
        llm.export("no/such-model", tmp_path / "m.nnef.tgz")


def test_a_folder_without_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FormatError, match=r"tokenizer.*\.nnef\.tgz for the model alone"):
        llm.export(folder, tmp_path / "out")
    llm.export(folder, tmp_path / "m.nnef.tgz", check_io=False)


def test_a_folder_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="nowhere: there is no such folder, nor has"):
        llm.export("nowhere", tmp_path / "out")


def test_a_folder_of_others_is_not_overwritten(llama: PreTrainedModel, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(FormatError, match="something else"):
        llm.export(llama, tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").exists()


def test_a_model_that_keeps_something_else_is_refused(tmp_path: Path) -> None:
    config = hf.MambaConfig(vocab_size=97, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(CaptureError, match="can't be exported with a cache"):
        llm.export(hf.MambaForCausalLM(config), tmp_path / "m.nnef.tgz")


def test_what_fails_in_the_model_itself_is_told(tmp_path: Path) -> None:
    model = tiny(
        "PhiForCausalLM", rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.4}
    )
    with pytest.raises(
        CaptureError, match="fails by itself when it reads two tokens: RuntimeError"
    ):
        llm.export(model, tmp_path / "m.nnef.tgz")


@pytest.mark.parametrize("logits", ["first", None])
def test_logits_are_the_last_or_all(logits: Any, llama: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'last' or 'all'"):
        llm.export(llama, tmp_path / "m.nnef.tgz", logits=logits)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = tiny(LLAMA).train()
    model.model.layers[0].eval()
    before = model.config._attn_implementation
    llm.export(model, tmp_path / "m.nnef.tar", check_io=False, dtype=torch.float16)
    llm.export(model, tmp_path / "m.nnef.tar", check_io=False)
    assert model.config._attn_implementation == before
    assert model.training
    assert model.lm_head.training
    assert not model.model.layers[0].training
    assert model.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"dtype": torch.float64}, ValueError, "float32 or torch.float16"),
        ({"dtype": "float16"}, ValueError, "float32 or torch.float16"),
        ({"max_length": "x"}, ValueError, "'x': is an int"),
        ({"max_length": 1}, CaptureError, "max_length=1.*two tokens.*from 2"),
        ({"check_io_tolerance": "foo"}, ValueError, "'foo': is one of exact, close"),
        ({"tokenizer": "/nope"}, FormatError, "/nope: no tokenizer can be read"),
    ],
)
def test_other_options_are_refused(
    options: dict[str, Any], error: Any, says: str, llama: PreTrainedModel, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        llm.export(llama, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_other_models_are_refused(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 9,
    }
    refused: list[tuple[Any, str]] = [
        (tiny(LLAMA).bfloat16(), "bfloat16.*dtype=torch.float32"),
        ("/nope", "/nope: there is no such folder"),
        (hf.BertForMaskedLM(hf.BertConfig(**small)), "BertForMaskedLM: .* generates no text"),
        (tiny(LLAMA).model, "LlamaModel: .* generates no text; give a class that does"),
        (hf.LlamaConfig(), "LlamaConfig: .* no model of transformers"),
        (torch.nn.Linear(2, 2), "Linear: .* by export_model_to_nnef"),
        (None, "NoneType: .* no model of transformers"),
    ]
    for model, says in refused:
        with pytest.raises(CaptureError, match=says):
            llm.export(model, tmp_path / "m.nnef.tar")
    of_bfloat16 = llm.export(tiny(LLAMA).bfloat16(), tmp_path / "m.nnef.tar", dtype=torch.float32)
    assert of_bfloat16.exists()


def test_a_cache_that_changes_the_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(says: str) -> None:
        with pytest.raises(CaptureError, match=says):
            llm.export(tiny(LLAMA), tmp_path / "m.nnef.tar")

    wrong = "torchtract.llm.exporter.attention.attention"
    monkeypatch.setattr(wrong, lambda query, *_: query * 0)
    refuse("other logits with one")
    monkeypatch.setattr(wrong, lambda query, *_: query.view(-1, 7))
    refuse("it fails with one .* or with attn_implementation='eager': shape .* is invalid")


def test_threads_take_turns(llama: PreTrainedModel, tmp_path: Path) -> None:
    def write(number: int) -> bytes:
        return llm.export(llama, tmp_path / f"{number}.nnef.tar").read_bytes()

    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(write, range(3)))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_session_after_a_fork(llama: PreTrainedModel, tmp_path: Path) -> None:
    file = llm.export(llama, tmp_path / "m.nnef.tar", check_io=False)
    code = f"""
import os, torchtract as tt
session = tt.load({str(file)!r}).causal().session()
session.push([5, 6, 7])
child = os.fork()
logits = session.push([8])
# In one write: `print` may end the line in another, after the other process's.
os.write(1, (str(logits[:5].tolist()) + chr(10)).encode())
if child:
    os.wait()
os._exit(0)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    parent, child = done.stdout.splitlines()
    assert parent == child


def test_a_session_that_differs_is_refused(
    llama: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchtract.runtime.causal import Session

    push = Session.push
    monkeypatch.setattr(Session, "push", lambda *args: push(*args) + 0.1)
    with pytest.raises(MismatchError, match=r"after 5 tokens.*'approximate'"):
        llm.export(llama, tmp_path / "m.nnef.tgz")
    assert not list(tmp_path.iterdir())


def test_what_is_needed_and_missing_is_told() -> None:
    code = """
import sys
sys.modules["transformers"] = None
import torchtract
torchtract.llm.export
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert "needs transformers, which is not installed; pip install" in done.stderr
