"""Each family of language models, exported and beside transformers token by token."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.families import FAMILIES, tiny
from torchtract import llm, load

NEW_TOKENS = 64


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    model = tiny(family)
    prompt = torch.randint(3, 97, (1, 7), generator=torch.Generator().manual_seed(1))
    text = model.generate(  # type: ignore[operator]
        prompt, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    expected = text[0, 7:].tolist()
    assert len(set(expected)) > 2

    file = llm.export(model, tmp_path / "m.nnef.tar")
    session = load(file).causal().session()

    token, tokens = int(session.push(prompt[0].numpy()).argmax()), []
    for _ in range(NEW_TOKENS):
        tokens.append(token)
        token = int(session.push([token]).argmax())
    assert tokens == expected


@pytest.mark.parametrize(
    ("family", "fused"),
    [
        ("LlamaForCausalLM", {"InPlaceKvSdpa": 2, "ApplyRope": 4, "RmsNorm": 5, "Silu": 2}),
        ("GPT2LMHeadModel", {"InPlaceKvSdpa": 2}),
        ("MistralForCausalLM", {"InPlaceKvSdpa": 2, "ApplyRope": 4, "RmsNorm": 5, "Silu": 2}),
        ("Qwen3ForCausalLM", {"InPlaceKvSdpa": 2, "RmsNorm": 9, "Silu": 2}),
        (
            "Gemma2ForCausalLM",
            {"DynamicKeyValueCache": 4, "ScaledMaskedSoftmax": 2, "ApplyRope": 4, "RmsNorm": 9},
        ),
        ("Gemma3ForCausalLM", {"InPlaceKvSdpa": 2, "ApplyRope": 4, "RmsNorm": 13}),
    ],
)
def test_tract_recognises(family: str, fused: dict[str, int], tmp_path: Path) -> None:
    file = llm.export(tiny(family), tmp_path / "m.nnef.tar", check_io=False)
    found = Counter(node.op for node in load(file).causal().nodes())
    assert {op: found[op] for op in fused} == fused


def test_biases_by_distance_of_falcon(tmp_path: Path) -> None:
    model = tiny("FalconForCausalLM", alibi=True)
    ids = torch.randint(3, 97, (1, 96), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids).logits[0, 63:].numpy()

    session = load(llm.export(model, tmp_path / "m.nnef.tar")).causal().session()

    actual = [session.push(ids[0, :64].numpy())]
    actual += [session.push([token]) for token in ids[0, 64:].tolist()]
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)
