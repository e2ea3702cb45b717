"""LoRA adapters of peft: merged, beside the weights, and swapped."""

from __future__ import annotations

import errno
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from llm.families import tiny
from torchtract import llm, load
from torchtract.errors import CaptureError, FormatError, LoadError

TOKENS = torch.tensor([[5, 9, 40, 7]])


def adapted(seed: int, rank: int = 4, layers: tuple[str, ...] = ("q_proj", "down_proj")) -> Any:
    config = LoraConfig(
        r=rank, lora_alpha=2 * seed, target_modules=list(layers), task_type="CAUSAL_LM"
    )
    model = get_peft_model(tiny("LlamaForCausalLM"), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.3, generator=generator)
    return model.eval()


def folder(tmp_path: Path, seed: int, **options: Any) -> Path:
    path = tmp_path / f"adapter {seed}"
    adapted(seed, **options).save_pretrained(path)
    return path


def expected(model: Any) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(TOKENS).logits[0, -1].numpy()
    return logits


def actual(file: Path) -> np.ndarray:
    return load(file).causal().session().push(TOKENS[0].numpy())


@pytest.mark.parametrize("merge", [True, False])
def test_a_model_of_peft(merge: bool, tmp_path: Path) -> None:
    model = adapted(1)
    before = expected(model)
    file = llm.export(model, tmp_path / "m.nnef.tar", merge_adapter=merge)
    np.testing.assert_allclose(actual(file), before, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(expected(model), before)
    assert np.abs(before - expected(tiny("LlamaForCausalLM"))).max() > 0.1


@pytest.mark.parametrize("merge", [True, False])
def test_a_folder_of_an_adapter(merge: bool, tmp_path: Path) -> None:
    base: PreTrainedModel = tiny("LlamaForCausalLM")
    base.save_pretrained(tmp_path / "base")
    file = llm.export(
        tmp_path / "base",
        tmp_path / "m.nnef.tar",
        adapter=folder(tmp_path, 3),
        merge_adapter=merge,
        check_io=False,
    )
    np.testing.assert_allclose(actual(file), expected(adapted(3)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("quantize", [None, "q4_0"])
def test_adapters_are_swapped(quantize: str | None, tmp_path: Path) -> None:
    options: dict[str, Any] = {"merge_adapter": False, "quantize": quantize}
    file = llm.export(adapted(1), tmp_path / "m.nnef.tar", **options)
    wanted = llm.export(adapted(5), tmp_path / "wanted.nnef.tar", **options)
    llm.swap_adapter(file, folder(tmp_path, 5), tmp_path / "m.nnef.tar")
    np.testing.assert_array_equal(actual(file), actual(wanted))


def test_another_adapter_is_refused(tmp_path: Path) -> None:
    file = llm.export(adapted(1), tmp_path / "m.nnef.tar", merge_adapter=False, check_io=False)
    merged = llm.export(adapted(1), tmp_path / "merged.nnef.tar", check_io=False)
    before = file.read_bytes()
    of_rank = folder(tmp_path, 2, rank=8)
    of_layers = folder(tmp_path, 3, layers=("v_proj",))
    broken = folder(tmp_path, 4)
    (broken / "adapter_model.safetensors").write_bytes(b"cut")
    weighted = folder(tmp_path, 6)
    config = json.loads((weighted / "adapter_config.json").read_text())
    (weighted / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    for model, adapter, says in [
        (file, of_rank, r"\[8, 32\] in the adapter and \[4, 32\]"),
        (file, of_layers, "other layers than the adapter"),
        (file, broken, "no adapter of peft"),
        (file, weighted, "has use_dora"),
        (file, tmp_path / "none", "no adapter of peft"),
        (merged, folder(tmp_path, 7), "merge_adapter=False first"),
        (tmp_path / "none.nnef.tar", folder(tmp_path, 8), r"no \.nnef\.tar"),
    ]:
        with pytest.raises(LoadError, match=says):
            llm.swap_adapter(model, adapter, tmp_path / "m.nnef.tar")
    assert file.read_bytes() == before


def test_an_adapter_may_be_of_bfloat16(tmp_path: Path) -> None:
    file = llm.export(adapted(1), tmp_path / "m.nnef.tar", merge_adapter=False, check_io=False)
    adapter = folder(tmp_path, 5)
    tensors = load_file(adapter / "adapter_model.safetensors")
    narrow = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    save_file(narrow, adapter / "adapter_model.safetensors", {"format": "pt"})
    llm.swap_adapter(file, adapter, tmp_path / "n.nnef.tar")
    np.testing.assert_allclose(actual(tmp_path / "n.nnef.tar"), expected(adapted(5)), atol=0.5)


@pytest.mark.parametrize(
    "settings", [{"r": None}, {"r": 0}, {"lora_alpha": "16"}, {"modules_to_save": ["lm_head"]}]
)
def test_an_odd_configuration_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    file = llm.export(adapted(1), tmp_path / "m.nnef.tar", merge_adapter=False, check_io=False)
    adapter = folder(tmp_path, 5)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | settings))
    with pytest.raises(LoadError, match=next(iter(settings))):
        llm.swap_adapter(file, adapter, tmp_path / "n.nnef.tar")


def test_a_cut_model_is_refused(tmp_path: Path) -> None:
    file = llm.export(adapted(1), tmp_path / "m.nnef.tar", merge_adapter=False, check_io=False)
    cut = tmp_path / "cut.nnef.tar"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(LoadError, match=r"cut\.nnef\.tar"):
        llm.swap_adapter(cut, folder(tmp_path, 5), tmp_path / "n.nnef.tar")
    with pytest.raises(FormatError, match=r"\.nnef\.tar"):
        llm.swap_adapter(file, folder(tmp_path, 6), tmp_path / "n.nnef.tgz")


def test_part_of_an_adapter_is_refused(tmp_path: Path) -> None:
    adapter = folder(tmp_path, 5)
    tensors = load_file(adapter / "adapter_model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layers.1" not in name}
    save_file(kept, adapter / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(CaptureError, match=r"for another model.*layers"):
        llm.export(tiny("LlamaForCausalLM"), tmp_path / "m.nnef.tar", adapter=adapter)


def test_an_adapter_that_is_switched_off_is_refused(tmp_path: Path) -> None:
    model = adapted(1)
    model.base_model.disable_adapter_layers()
    with pytest.raises(CaptureError, match="switched off"):
        llm.export(model, tmp_path / "m.nnef.tar")


def test_an_adapter_with_biases_is_merged_or_refused(tmp_path: Path) -> None:
    base = tiny("LlamaForCausalLM", attention_bias=True)
    config = LoraConfig(
        r=4, lora_alpha=16, target_modules=["q_proj"], lora_bias=True, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.3)
    with pytest.raises(CaptureError, match="merge it"):
        llm.export(model, tmp_path / "m.nnef.tar", merge_adapter=False)
    file = llm.export(model, tmp_path / "m.nnef.tar")
    np.testing.assert_allclose(actual(file), expected(model), rtol=1e-3, atol=1e-3)


def test_other_kinds_of_adapters_are_refused(tmp_path: Path) -> None:
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model: PeftModel = get_peft_model(tiny("LlamaForCausalLM"), config)
    with pytest.raises(CaptureError, match="one of LoRA can be exported"):
        llm.export(model, tmp_path / "m.nnef.tar")
    with pytest.raises(CaptureError, match="peft can't use it"):
        llm.export(tiny("LlamaForCausalLM"), tmp_path / "m.nnef.tar", adapter=tmp_path)


def test_what_can_not_be_swapped_is_not_written(tmp_path: Path) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM")
    weighted = get_peft_model(tiny("LlamaForCausalLM"), config).eval()
    with pytest.raises(CaptureError, match=r"DoRA.*merge it"):
        llm.export(weighted, tmp_path / "m.nnef.tar", merge_adapter=False)
    with pytest.raises(FormatError, match=r"merge_adapter=False.*\.nnef\.tar; end it so"):
        llm.export(adapted(1), tmp_path / "m.nnef.tgz", merge_adapter=False)
    assert llm.export(weighted, tmp_path / "m.nnef.tgz", check_io=False).exists()


def test_a_full_disk_is_told_of_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = llm.export(adapted(1), tmp_path / "m.nnef.tar", merge_adapter=False, check_io=False)
    adapter = folder(tmp_path, 5)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(FormatError, match=r"n\.nnef\.tar': can't be written, since No space left"):
        llm.swap_adapter(file, adapter, tmp_path / "n.nnef.tar")
