"""The example of a language model learns, and loses little by quantising."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import language_model as example
from torchtract import llm


@pytest.mark.slow
def test_perplexity_before_and_after(tmp_path: Path) -> None:
    text, unseen = example.texts()
    tokenizer = example.trained_tokenizer(text)
    tokens = torch.tensor(tokenizer.encode(text).ids)
    example.trained_model(tokens, steps=60).save_pretrained(tmp_path / "model")
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    found = {}
    for form in (None, "q4_0"):
        folder = llm.export(tmp_path / "model", tmp_path / str(form), quantize=form)
        found[form] = llm.perplexity(llm.load(folder), unseen, max_tokens=200)
    assert found[None] < example.VOCABULARY / 2
    # Of a model that has learnt so little, what is lost may be a loss or a gain.
    assert found["q4_0"] != found[None]
    assert found["q4_0"] == pytest.approx(found[None], rel=0.05)
