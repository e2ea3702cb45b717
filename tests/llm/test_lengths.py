"""How long a text may get: as the model says, as is asked for, and refused beyond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from llm.families import tiny
from torchtract import llm, load
from torchtract.errors import CaptureError

LLAMA = "LlamaForCausalLM"


def test_a_length_beyond_the_models_own_is_refused(tmp_path: Path) -> None:
    model = tiny("GPT2LMHeadModel")
    with pytest.raises(CaptureError, match="max_length=97"):
        llm.export(model, tmp_path / "m.nnef.tgz", max_length=97)
    file = llm.export(model, tmp_path / "m.nnef.tgz", max_length=40)
    assert load(file).causal().max_length == 40


@pytest.mark.parametrize(
    ("rope", "max_length", "says"),
    [
        ({"rope_type": "dynamic", "factor": 4.0}, None, ""),
        ({"rope_type": "longrope", "original_max_position_embeddings": 24}, 24, ""),
        (
            {"rope_type": "longrope", "original_max_position_embeddings": 24},
            None,
            "texts of up to 96 tokens.*beyond 24; give max_length=24",
        ),
    ],
)
def test_frequencies_that_change_with_the_length(
    rope: dict[str, Any], max_length: int | None, says: str, tmp_path: Path
) -> None:
    factors = {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "factor": 4.0}
    given = rope | (factors if rope["rope_type"] == "longrope" else {})
    model = tiny(LLAMA, rope_parameters={**given, "rope_theta": 10_000.0})
    path = tmp_path / "m.nnef.tar"
    if says:
        with pytest.raises(CaptureError, match=says):
            llm.export(model, path, max_length=max_length)
        return
    session = load(llm.export(model, path, max_length=max_length)).causal().session()
    ids = torch.randint(3, 97, (1, session.max_length))
    with torch.no_grad():
        expected = model(ids).logits[0, -1].numpy()
    np.testing.assert_allclose(session.push(ids[0].numpy()), expected, rtol=1e-3, atol=1e-3)


def test_a_model_that_is_shorter_than_it_says_is_refused(tmp_path: Path) -> None:
    model: Any = tiny("GPT2LMHeadModel")
    model.transformer.wpe = torch.nn.Embedding.from_pretrained(model.transformer.wpe.weight[:90])
    with pytest.raises(CaptureError, match=r"of 96 tokens, .* index .* as max_length"):
        llm.export(model, tmp_path / "m.nnef.tar")
    assert llm.export(model, tmp_path / "m.nnef.tar", max_length=90).exists()


def test_positions_may_begin_behind_that_of_padding(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1}
    settings |= {"num_attention_heads": 2, "max_position_embeddings": 20, "pad_token_id": 1}
    model = hf.RobertaForCausalLM(hf.RobertaConfig(**settings, is_decoder=True)).eval()
    assert load(llm.export(model, tmp_path / "m.nnef.tar")).causal().max_length == 18
