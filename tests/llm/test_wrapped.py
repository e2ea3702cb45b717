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


class Written(nn.Module):
    """A layer of a decoder as one writes it by hand, with its mask in a buffer."""

    LONGEST, HEADS, FEATURES = 48, 2, 8

    def __init__(self) -> None:
        super().__init__()
        width = self.HEADS * self.FEATURES
        self.tokens, self.positions = nn.Embedding(97, width), nn.Embedding(self.LONGEST, width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.head = nn.Linear(width, 97)
        self.register_buffer("mask", torch.ones(self.LONGEST, self.LONGEST).tril()[None, None])

    def forward(
        self, input_ids: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        past, (batch, new) = key.shape[2], input_ids.shape
        x = self.tokens(input_ids) + self.positions(torch.arange(past, past + new))
        parts = self.qkv(x).view(batch, new, 3, self.HEADS, self.FEATURES).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], torch.cat([key, parts[1]], 2), torch.cat([value, parts[2]], 2)
        scores = query @ key.mT / self.FEATURES**0.5
        # Of the buffer these are as many rows as there are tokens, since no text is longer.
        buffer: torch.Tensor = self.get_buffer("mask")
        mask = buffer[:, :, past : past + new, : past + new]
        weights = scores.masked_fill(mask == 0, float("-inf")).softmax(-1)
        x = x + self.project((weights @ value).transpose(1, 2).reshape(batch, new, -1))
        return self.head(x), key, value


def test_a_mask_may_be_cut_from_a_buffer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Written().eval()
    caches = [torch.randn(1, Written.HEADS, 3, Written.FEATURES) for _ in range(2)]
    file = export_model_to_nnef(
        model=model,
        args=(torch.randint(97, (1, 4)), *caches),
        file_path_export=tmp_path / "written.nnef.tgz",
        inference_target=TractNNEF(
            dynamic_axes={"input_ids": {1: "S"}, "key": {2: "P"}, "value": {2: "P"}},
            check_sizes=[{"P": 47, "S": 1}, {"P": 0, "S": 48}],
        ),
        input_names=["input_ids", "key", "value"],
        output_names=["logits", "keys", "values"],
        custom_extensions=[
            f"tract_assert {line}"
            for line in ("P >= 0", "S >= 1", "S+P < 49", "tg: S==1", "pp: P==0", "chunk: P>=1")
        ],
    )
    session = load(file).causal().session()
    ids = torch.randint(97, (1, 48))
    got = [session.push(ids[0, :20].numpy()), session.push(ids[0, 20:47].numpy())]
    got.append(session.push(ids[0, 47:].numpy()))
    with torch.no_grad():
        expected = model(ids, *(cache[:, :, :0] for cache in caches))[0][0, [19, 46, 47]].numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
