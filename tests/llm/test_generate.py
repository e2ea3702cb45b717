"""Generating text: what comes out, in pieces or not, and when it ends."""

from __future__ import annotations

import math
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llm.fakes import FakeModel, FakeSession, saying
from llm.texts import CHAT_TEMPLATE
from torchtract.llm import ChatTemplate, LanguageModel, Sampling, Settings
from torchtract.llm.causal import Logits
from torchtract.llm.tokenizer import FolderTokenizer

TEXT = "one two 🙂 three. four"


@pytest.fixture(scope="module")
def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=80, n_positions=128, initializer_range=1.0
    )
    model = GPT2LMHeadModel(config)
    model.eval()
    return model


@pytest.mark.parametrize("eos", [(), (3, 50)], ids=["endless", "ends"])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_tokens_are_transformers(
    gpt2: GPT2LMHeadModel, eos: tuple[int, ...], penalty: float
) -> None:
    @torch.no_grad()
    def computes(tokens: list[int]) -> Logits:
        logits: Logits = gpt2(torch.tensor([tokens])).logits[0, -1].numpy()
        return logits

    lm = LanguageModel(FakeModel(80, 128, eos, computes=computes))
    for seed in range(3):
        prompt = np.random.default_rng(seed).integers(0, 80, 7)
        theirs = gpt2.generate(
            torch.tensor(prompt[None]),
            max_new_tokens=64,
            do_sample=False,
            repetition_penalty=penalty,
            eos_token_id=list(eos) or None,
            pad_token_id=0,
        )

        ours = lm.generate(prompt, max_new_tokens=64, repetition_penalty=penalty)

        assert ours.tokens == theirs[0, 7:].tolist()
        assert (ours.finish_reason == "stop") == (len(ours.tokens) < 64)


def test_text_and_numbers(tokenizer: FolderTokenizer) -> None:
    result = saying(TEXT, tokenizer, then=1).generate("?")

    assert str(result) == result.text == TEXT
    assert result.finish_reason == "stop"
    assert result.tokens == [*tokenizer.encode(TEXT, add_special_tokens=False), 1]
    assert result.prompt_tokens == result.timings.prompt_tokens == 2
    assert result.timings.generated_tokens == len(result.tokens) - 1
    assert 0 < result.timings.prompt_tokens_per_second < math.inf
    assert 0 < result.timings.generated_tokens_per_second < math.inf
    assert result.timings.peak_memory is None or result.timings.peak_memory > 10**7
    assert TEXT in repr(result)


@pytest.mark.parametrize("stop", [(), "three", ("four", "🙂 th"), "e. "], ids=str)
def test_pieces_are_the_text(tokenizer: FolderTokenizer, stop: str | tuple[str, ...]) -> None:
    whole = saying(TEXT, tokenizer, then=1).generate("?", stop=stop)

    stream = saying(TEXT, tokenizer, then=1).generate("?", stop=stop, stream=True)
    assert stream.result is None
    pieces = list(stream)

    assert "".join(pieces) == whole.text
    assert all(pieces)
    assert not any("\ufffd" in piece for piece in pieces)
    assert stream.result == whole


@pytest.mark.parametrize(
    ("stop", "text"),
    [("three", "one two 🙂 "), (["four", "🙂 th"], "one two "), ("five", TEXT), ("r", TEXT)],
)
def test_a_stop_string_ends_the_text(
    tokenizer: FolderTokenizer, stop: str | list[str], text: str
) -> None:
    result = saying(TEXT, tokenizer, then=1).generate("?", stop=stop)

    assert result.text == (text if stop != "r" else TEXT.partition("r")[0])
    assert result.finish_reason == "stop"


def test_a_special_token_as_a_stop_string(tokenizer: FolderTokenizer) -> None:
    result = saying(TEXT + "<|im_end|> more", tokenizer, then=1).generate("?", stop="<|im_end|>")

    assert (result.text, result.finish_reason) == (TEXT, "stop")
    assert result.tokens[-1] == tokenizer.encode("<|im_end|>", add_special_tokens=False)[0]


def test_as_many_tokens_as_asked_for(tokenizer: FolderTokenizer) -> None:
    lm = saying(TEXT, tokenizer, then=1)
    said = tokenizer.encode(TEXT, add_special_tokens=False)

    result = lm.generate("?", max_new_tokens=3)

    assert result.finish_reason == "length"
    assert result.tokens == said[:3]
    exactly = lm.generate("?", max_new_tokens=len(said) + 1)
    assert (exactly.finish_reason, exactly.text) == ("stop", TEXT)


def test_what_was_held_back_comes_at_the_end(tokenizer: FolderTokenizer) -> None:
    result = saying("a th", tokenizer, then=1).generate("?", stop="three")
    assert (result.text, result.finish_reason) == ("a th", "stop")

    half = len(tokenizer.encode("a🙂", add_special_tokens=False)) - 1
    result = saying("a🙂", tokenizer).generate("?", max_new_tokens=half)
    assert (result.text, result.finish_reason) == ("a\ufffd", "length")


def test_the_models_longest_text() -> None:
    lm = LanguageModel(FakeModel(max_length=16))

    result = lm.generate([1] * 10, max_new_tokens=100)
    assert (len(result.tokens), result.finish_reason) == (6, "length")
    assert len(lm.generate([1] * 15).tokens) == 1


def test_what_the_folder_says_holds_unless_the_call_says_otherwise() -> None:
    def generated(settings: Settings | None = None, **options: Any) -> list[int]:
        model = LanguageModel(FakeModel(), settings=settings)
        asked = {"max_new_tokens": 20, **options}
        tokens: list[int] = model.generate([1, 2], **asked).tokens
        return tokens

    greedy = generated()
    sampling = Sampling(temperature=0.9, top_k=20, top_p=0.8, repetition_penalty=1.2)
    sampled = generated(
        seed=3, temperature=0.9, top_k=20, top_p=0.8, min_p=0.0, repetition_penalty=1.2
    )
    told = Settings(do_sample=True, sampling=sampling)
    silent = Settings(sampling=sampling)

    assert greedy != sampled
    assert generated(told, seed=3) == sampled
    assert generated(told, temperature=0, repetition_penalty=1.0) == greedy
    assert generated(silent) == generated(repetition_penalty=1.2)
    assert generated(silent, temperature=0.9, seed=3) == sampled
    off = generated(told, seed=3, top_k=0, top_p=1.0, repetition_penalty=1.0)
    assert off == generated(seed=3, temperature=0.9)
    assert generated(Settings(eos_token_ids=(greedy[4],))) == greedy[:5]
    assert generated(Settings(eos_token_ids=())) == greedy
    few = Settings(max_new_tokens=3)
    assert generated(few) == greedy
    assert generated(few, max_new_tokens=None) == greedy[:3]


def test_seeds() -> None:
    lm = LanguageModel(FakeModel())

    def drawn(seed: int | None) -> list[int]:
        return lm.generate([1], temperature=1.0, seed=seed, max_new_tokens=30).tokens

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(None) != drawn(None)


def test_chat(tokenizer: FolderTokenizer) -> None:
    template = ChatTemplate({"default": CHAT_TEMPLATE}, {"bos_token": "<|start|>"}, "a test")
    lm = LanguageModel(FakeModel(512, 256), tokenizer, chat_template=template)
    messages = [{"role": "user", "content": "Hi"}]

    prompt = lm.chat_tokens(messages)
    answer = lm.chat(messages, max_new_tokens=5)

    # The template's own token starts the text, and none before it.
    assert prompt[:2] == [0, 2]
    assert prompt == tokenizer.encode(
        "<|start|><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False
    )
    assert answer == lm.generate(prompt, max_new_tokens=5) or answer.cached_tokens == 0
    assert answer.tokens == lm.generate(prompt, max_new_tokens=5).tokens
    pieces = lm.chat(messages, max_new_tokens=5, stream=True)
    assert "".join(pieces) == answer.text


def test_cancelling_from_another_thread() -> None:
    reached = threading.Event()

    def says(tokens: list[int]) -> int:
        if len(tokens) > 20:
            reached.set()
        time.sleep(0.001)
        return 1

    lm = LanguageModel(FakeModel(max_length=100_000, says=says))
    stream = lm.generate([1, 2], max_new_tokens=90_000, stream=True)

    def cancel() -> None:
        reached.wait(30)
        stream.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()

    pieces = list(stream)
    canceller.join()

    assert stream.result
    assert stream.result.finish_reason == "cancelled"
    assert "".join(pieces) == stream.result.text
    assert 18 <= len(stream.result.tokens) < 90_000
    # What was read is worth keeping.
    assert lm.generate([1, 2, 1, 1, 1, 9], max_new_tokens=1).cached_tokens == 5


def test_cancelling_while_the_prompt_is_read() -> None:
    model = FakeModel(max_length=10_000)
    lm = LanguageModel(model, prompt_chunk=10)
    stream = lm.generate([1] * 1000, stream=True)

    class Cancelling(FakeSession):
        def push(self, tokens: Any) -> Logits:
            if self.length == 50:
                stream.cancel()
            return super().push(tokens)

    model.session = lambda: Cancelling(model, [])  # type: ignore[method-assign]

    assert list(stream) == []
    assert stream.result
    assert stream.result.finish_reason == "cancelled"
    assert stream.result.tokens == []
    assert sum(model.pushed) == stream.result.timings.prompt_tokens == 60
    assert stream.result.prompt_tokens == 1000
    assert lm.generate([1] * 1000, max_new_tokens=1).cached_tokens == 60


def test_closing_a_stream() -> None:
    lm = LanguageModel(FakeModel(max_length=1000))

    with lm.generate([1, 2], max_new_tokens=500, stream=True) as stream:
        first = [next(stream) for _ in range(3)]
    assert list(stream) == []
    assert stream.result
    assert (stream.result.finish_reason, len(stream.result.tokens)) == ("cancelled", 3)
    assert stream.result.text == "".join(first)
    stream.close()

    unread = lm.generate([1, 2], stream=True)
    unread.close()
    assert unread.result
    assert (unread.result.finish_reason, unread.result.tokens) == ("cancelled", [])
    assert (unread.result.prompt_tokens, unread.result.timings.prompt_tokens) == (2, 0)
    assert list(unread) == []

    ended = lm.generate([1, 2], max_new_tokens=3, stream=True)
    list(ended)
    ended.close()
    assert ended.result
    assert ended.result.finish_reason == "length"


def test_a_stream_that_is_left_gives_its_session_back() -> None:
    lm = LanguageModel(FakeModel())

    for _ in lm.generate([1, 2, 3], stream=True):
        break

    assert lm.generate([1, 2, 3, 4], max_new_tokens=1).cached_tokens == 3


def test_many_threads_in_one_model() -> None:
    model = FakeModel()
    lm = LanguageModel(model, prompt_cache=3)
    prompts = [[seed % 3, 1, seed % 5, seed % 7] for seed in range(60)]

    def generated(seed: int) -> list[int]:
        return lm.generate(prompts[seed], temperature=1.0, seed=seed, max_new_tokens=8).tokens

    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(generated, range(60)))

    lm.forget()
    assert together == [generated(seed) for seed in range(60)]


@pytest.mark.parametrize("seed", [np.uint8(255), np.int64(2**63 - 1), 2**70])
def test_seeds_of_any_kind_of_int(seed: Any) -> None:
    lm = LanguageModel(FakeModel())

    several = lm.fork([1], 2, temperature=1.0, seed=seed, max_new_tokens=5)

    next_one = lm.generate([1], temperature=1.0, seed=int(seed) + 1, max_new_tokens=5)
    assert several[1].tokens == next_one.tokens


def test_repr(tokenizer: FolderTokenizer) -> None:
    template = ChatTemplate({"default": "x"}, {}, "a test")
    short = LanguageModel(FakeModel())
    endless = LanguageModel(FakeModel(512, sys.maxsize), tokenizer, chat_template=template)

    assert repr(short) == "LanguageModel(50 tokens, texts of up to 64, without a chat template)"
    assert repr(endless) == "LanguageModel(512 tokens, with a chat template)"
    assert len(endless.generate("a", max_new_tokens=5).tokens) == 5
