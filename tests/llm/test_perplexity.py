"""Perplexity is PyTorch's, whole texts and longer ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.fakes import FakeModel
from llm.families import tiny
from torchtract import llm
from torchtract.errors import GenerationError, RunError


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


@pytest.mark.parametrize("tokens", [[1, 2, 999], [1, 2, -1], [50, 1]])
def test_tokens_that_the_model_does_not_have(tokens: list[int]) -> None:
    with pytest.raises(GenerationError, match=r"text: there is no token .*, only 0 to 49"):
        llm.perplexity(llm.LanguageModel(FakeModel()), tokens)


@pytest.mark.parametrize("most", [-1, 0, 1, 1.5, None, True])
def test_a_number_of_tokens_that_can_not_be(most: Any) -> None:
    with pytest.raises(GenerationError, match=r"max_tokens=.*: an int from 2 is needed"):
        llm.perplexity(llm.LanguageModel(FakeModel()), [1, 2, 3], max_tokens=most)


@pytest.mark.parametrize("logit", [np.nan, np.inf])
def test_a_model_that_gives_no_numbers(logit: float) -> None:
    model = FakeModel(computes=lambda _: np.array([0, logit, 1], np.float32))
    with pytest.raises(RunError, match=f"the model gave the logit {logit}"):
        llm.perplexity(llm.LanguageModel(model), [1, 2, 0])


@pytest.mark.parametrize("least", [-np.inf, -1e30])
def test_tokens_that_can_not_come(least: float) -> None:
    model = FakeModel(computes=lambda _: np.array([0, least], np.float32))
    assert llm.perplexity(llm.LanguageModel(model), [1, 1]) == math.inf
