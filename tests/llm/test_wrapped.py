"""A language model that the user wraps, as in torch-to-nnef's tutorial on dynamic axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from llm.families import tiny
from torchtract import TractNNEF, export_model_to_nnef, llm, load

LAYERS = 2
NAMES = [f"cache_{kind}_{i}" for i in range(LAYERS) for kind in ("key", "value")]


class Wrapped(nn.Module):
    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, *caches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache([caches[2 * i : 2 * i + 2] for i in range(LAYERS)])
        output = self.model(input_ids, cache=cache, use_cache=True)
        kept = [t for layer in cache.layers for t in (layer.keys, layer.values)]  # type: ignore[union-attr]
        return output.logits, *kept


@pytest.mark.slow
def test_past_and_new_lengths_are_free(tmp_path: Path) -> None:
    model = tiny("LlamaForCausalLM")
    caches = [torch.randn(1, 2, 3, 8) for _ in NAMES]
    file = export_model_to_nnef(
        model=Wrapped(model).eval(),
        args=(torch.randint(3, 97, (1, 4)), *caches),
        file_path_export=tmp_path / "llama.nnef.tgz",
        inference_target=TractNNEF(
            check_io=True,
            dynamic_axes={"input_ids": {1: "S"}, **{f"in_{name}": {2: "P"} for name in NAMES}},
        ),
        input_names=["input_ids", *(f"in_{name}" for name in NAMES)],
        output_names=["logits", *(f"out_{name}" for name in NAMES)],
        custom_extensions=[
            "tract_assert P >= 0",
            "tract_assert S >= 1",
            "tract_assert S+P < 96",
            "tract_assert tg: S==1",
            "tract_assert pp: P==0",
        ],
    )
    session = load(file).causal().session()
    ids = torch.randint(3, 97, (1, 9))
    got = [session.push(ids[0, :6].numpy())]
    got += [session.push(ids[0, i : i + 1].numpy()) for i in range(6, 9)]
    with torch.no_grad():
        expected = model(ids).logits[0, 5:].numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    assert session.max_length == 95
    remembers, forgets = llm.load(file, prompt_chunk=2), llm.load(file, prompt_cache=0)
    for prompt in ([5, 6, 7], [5, 6, 9, 9, 9], [5, 6, 9, 9, 9, 8], [5, 6, 9, 9, 9, 8, 7, 6, 4]):
        expected_tokens = forgets.generate(prompt, max_new_tokens=4).tokens
        assert remembers.generate(prompt, max_new_tokens=4).tokens == expected_tokens
