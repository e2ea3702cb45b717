"""Language models whose weights are stored by blocks."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from llm.families import tiny
from torchtract import llm, load
from torchtract.errors import FormatError

LARGER: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"hidden_size": 64, "intermediate_size": 96},
    "LlamaForCausalLM of version 3": {"hidden_size": 64, "intermediate_size": 96},
    "GPT2LMHeadModel": {"n_embd": 64},
    "FalconForCausalLM": {"hidden_size": 64},
}


def usual(family: str) -> PreTrainedModel:
    """With weights as they usually are: half precision needs that."""
    model = tiny(family, **LARGER[family])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.05 if "embed" in name or "wte" in name else 64**-0.5)
    return model


@pytest.mark.parametrize("family", LARGER)
def test_files_are_a_quarter(family: str, tmp_path: Path) -> None:
    """And right: the export compares them with what the formats keep."""
    model = usual(family)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    full = llm.export(model, tmp_path / "full.nnef.tar", check_io=False)
    small = llm.export(model, tmp_path / "small.nnef.tar", quantize="q4_0")
    assert small.stat().st_size * 3 < full.stat().st_size
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])


def test_half_precision(tmp_path: Path) -> None:
    model = usual("LlamaForCausalLM")
    half = llm.export(model, tmp_path / "m.nnef.tar", quantize="q4_0", dtype=torch.float16)
    assert load(half).causal().session().push([4, 5]).shape == (97,)


def test_by_pattern(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = usual("LlamaForCausalLM")
    formats = {"lm_head.weight": None, "*embed*": None, "*.mlp.*": "q4_0"}
    with caplog.at_level(logging.INFO, "torchtract"):
        llm.export(model, tmp_path / "m.nnef.tar", quantize=formats, check_io=False)
    told = [message for message in caplog.messages if "loses" in message]
    assert len(told) == 6
    assert told[0].startswith("model.layers.0.mlp.gate_proj.weight: q4_0 loses 8.")


@pytest.mark.parametrize(
    ("formats", "says"),
    [
        ("q5_1", "'q5_1' is no format; use q4_0 or None"),
        ({"*": "int4"}, "'int4' is no format"),
        ({3: "q4_0"}, "3 is no pattern"),
        (["q4_0"], "is no format"),
        ({"*.ffn.*": "q4_0"}, r"'\*\.ffn\.\*' fits no weight.*such as 'lm_head\.weight'"),
    ],
)
def test_what_is_refused(formats: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        llm.export(usual("LlamaForCausalLM"), tmp_path / "m.nnef.tar", quantize=formats)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_what_blocks_can_not_hold_is_refused(value: float, tmp_path: Path) -> None:
    model = usual("LlamaForCausalLM")
    with torch.no_grad():
        model.lm_head.weight[3, 5] = value
    with pytest.raises(FormatError, match=r"lm_head\.weight.*not finite or beyond"):
        llm.export(model, tmp_path / "m.nnef.tar", quantize="q4_0", check_io=False)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_no_blocks_are_refused(tmp_path: Path) -> None:
    model = tiny("LlamaForCausalLM", hidden_size=48, intermediate_size=80)
    with pytest.raises(ValueError, match=r"no weight .* multiple of 32 values.* with 48; leave it"):
        llm.export(model, tmp_path / "m.nnef.tar", quantize="q4_0")


def test_what_all_lose_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "torchtract.llm.exporter.quantized"):
        model = usual("LlamaForCausalLM")
        llm.export(model, tmp_path / "m.nnef.tar", quantize="q4_0", check_io=False)
    assert re.match(
        r"16 quantized weights lose 8\.\d\d % on average; most: \w", caplog.messages[-1]
    )
