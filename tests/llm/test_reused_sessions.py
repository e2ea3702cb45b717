"""Real models, whose sessions go from prompt to prompt and from thread to thread."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from llm.families import tiny
from torchtract import llm

# One for each way to keep the past: rotary and learnt positions, sliding windows, no fused cache.
FAMILIES = ["LlamaForCausalLM", "GPT2LMHeadModel", "MistralForCausalLM", "Gemma2ForCausalLM"]
START = random.Random(0).choices(range(3, 97), k=60)


class Models(NamedTuple):
    """One file, loaded with a memory of texts and without."""

    remembers: llm.LanguageModel
    forgets: llm.LanguageModel

    def expected(self, prompt: Sequence[int], new: int) -> list[int]:
        return self.forgets.generate(prompt, max_new_tokens=new).tokens


@pytest.fixture(scope="module", params=FAMILIES)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Models:
    path = tmp_path_factory.mktemp("llm") / "m.nnef.tar"
    file = llm.export(tiny(request.param), path, check_io=False)
    return Models(llm.load(file, prompt_chunk=7), llm.load(file, prompt_cache=0))


def test_what_was_read_before_changes_no_token(models: Models) -> None:
    chance, cached = random.Random(1), 0
    for _ in range(20):
        other = chance.choices(range(3, 97), k=chance.randrange(20))
        prompt = [*START[: chance.randrange(1, 60)], *other]

        result = models.remembers.generate(prompt, max_new_tokens=10)

        cached += result.cached_tokens
        assert result.tokens == models.expected(prompt, 10)
    assert cached > 300


def test_threads_and_forks_do_not_disturb_each_other(models: Models) -> None:
    prompts = [[*START[:length], length] for length in range(3, 33)]

    def generated(prompt: list[int]) -> list[int]:
        return models.remembers.generate(prompt, max_new_tokens=6).tokens

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(generated, prompts))

    assert found == [models.expected(prompt, 6) for prompt in prompts]
    streams = models.remembers.fork(START, 3, max_new_tokens=6, stream=True)
    for _ in range(8):
        for stream in reversed(streams):
            next(stream, None)
    assert [stream.result and stream.result.tokens for stream in streams] == [
        models.expected(START, 6)
    ] * 3
