"""Perplexity is PyTorch's, whole texts and longer ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from llm.fakes import FakeModel
from llm.families import tiny
from torchtract import llm
from torchtract.errors import GenerationError


def test_it_is_that_of_pytorch(tmp_path: Path) -> None:
    model = tiny("LlamaForCausalLM")
    lm = llm.load(llm.export(model, tmp_path / "m.nnef.tar", check_io=False))
    tokens = torch.randint(3, 97, (40,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(tokens[None]).logits[0]
    expected = torch.nn.functional.cross_entropy(logits[:-1], tokens[1:]).exp().item()
    assert llm.perplexity(lm, tokens.tolist()) == pytest.approx(expected, rel=1e-4)
    fewer = torch.nn.functional.cross_entropy(logits[:9], tokens[1:10]).exp().item()
    assert llm.perplexity(lm, tokens.tolist(), max_tokens=10) == pytest.approx(fewer, rel=1e-4)


def test_a_text_longer_than_the_model_reads() -> None:
    model = FakeModel(max_length=8)
    tokens = list(range(20))
    lm: Any = llm.LanguageModel(model)
    losses = []
    for start in (0, 8, 16):
        for at in range(start, min(start + 8, 19)):
            logits = torch.from_numpy(model.logits(tokens[start : at + 1]))
            losses.append(-logits.log_softmax(0)[tokens[at + 1]].item())
    assert len(losses) == 19
    expected = math.exp(sum(losses) / 19)
    assert llm.perplexity(lm, tokens) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("tokens", [[], [3]])
def test_too_little_text_is_refused(tokens: list[int]) -> None:
    with pytest.raises(GenerationError, match=f"has {len(tokens)} tokens"):
        llm.perplexity(llm.LanguageModel(FakeModel()), tokens)
