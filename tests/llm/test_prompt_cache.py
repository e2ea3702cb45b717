"""What of a prompt is read, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.fakes import FakeModel
from torchtract.errors import GenerationError, RunError
from torchtract.llm import LanguageModel

tokens_of_two = st.lists(st.integers(0, 1), min_size=1, max_size=12)


def read(model: FakeModel) -> int:
    """How many tokens were read since the last time."""
    count, model.pushed = sum(model.pushed), []
    return count


@given(st.lists(tokens_of_two, max_size=12), st.integers(0, 3), st.integers(1, 5))
def test_a_cache_changes_no_token(prompts: Iterable[list[int]], size: int, chunk: int) -> None:
    cached = LanguageModel(FakeModel(2, 32), prompt_cache=size, prompt_chunk=chunk)

    for prompt in prompts:
        fresh = LanguageModel(FakeModel(2, 32), prompt_cache=0)
        result = cached.generate(prompt, max_new_tokens=3)
        assert result == fresh.generate(prompt, max_new_tokens=3) or result.cached_tokens
        assert result.tokens == fresh.generate(prompt, max_new_tokens=3).tokens


def test_only_what_is_new_is_read() -> None:
    model = FakeModel()
    lm = LanguageModel(model)

    first = lm.generate([1, 2, 3, 4], max_new_tokens=3)
    assert (first.cached_tokens, first.timings.prompt_tokens, read(model)) == (0, 4, 6)

    # The last new token was not read.
    longer = lm.generate([1, 2, 3, 4, *first.tokens, 9], max_new_tokens=1)
    assert (longer.cached_tokens, longer.timings.prompt_tokens, read(model)) == (6, 2, 2)

    # The logits behind a prompt come from reading its last token, also a second time.
    again = lm.generate([1, 2, 3, 4], max_new_tokens=1)
    assert (again.cached_tokens, again.prompt_tokens, read(model)) == (3, 4, 1)
    assert again.tokens == first.tokens[:1]

    other = lm.generate([5, 2, 3], max_new_tokens=1)
    assert (other.cached_tokens, read(model)) == (0, 3)

    lm.forget()
    assert lm.generate([5, 2, 3], max_new_tokens=1).cached_tokens == 0


def test_two_conversations_that_begin_alike() -> None:
    model = FakeModel()
    lm = LanguageModel(model, prompt_cache=2)
    start = list(range(10))

    lm.generate([*start, 20, 21], max_new_tokens=1)
    read(model)

    assert lm.generate([*start, 30, 31], max_new_tokens=1).cached_tokens == 10
    assert lm.generate([*start, 20, 21, 22], max_new_tokens=1).cached_tokens == 12
    assert lm.generate([*start, 30, 31, 32], max_new_tokens=1).cached_tokens == 12
    assert read(model) == 2 + 1 + 1


@pytest.mark.parametrize(("size", "cached"), [(0, [0, 0, 0]), (1, [3, 0, 0]), (2, [3, 3, 3])])
def test_how_many_texts_are_remembered(size: int, cached: list[int]) -> None:
    lm = LanguageModel(FakeModel(), prompt_cache=size)
    for _ in range(2):
        found = [
            lm.generate([first, 2, 3, 4], max_new_tokens=1).cached_tokens for first in (1, 9, 1)
        ]

    assert found == cached


def test_the_text_used_longest_ago_is_forgotten() -> None:
    lm = LanguageModel(FakeModel(), prompt_cache=2)
    for first in (1, 2, 1, 3):
        lm.generate([first, 5, 6], max_new_tokens=1)

    assert lm.generate([1, 5, 6, 7], max_new_tokens=1).cached_tokens == 3
    assert lm.generate([2, 5, 6, 7], max_new_tokens=1).cached_tokens == 0


def test_a_long_prompt_is_read_in_chunks() -> None:
    model = FakeModel(max_length=100)

    LanguageModel(model, prompt_chunk=16).generate([1] * 50, max_new_tokens=2)

    assert model.pushed == [16, 16, 16, 2, 1]


def test_a_model_that_reads_behind_others_one_by_one() -> None:
    model = FakeModel(allows=lambda past, new: past == 0 or new == 1)
    lm = LanguageModel(model, prompt_chunk=2)
    expected = LanguageModel(FakeModel())

    # What is left of a prompt is read one by one only where that is faster than to begin again.
    for prompt, pushed in (
        ([1, 2, 3, 4, 5], [5]),
        ([1, 2, 3, 4, 5, 6], [1]),
        ([1, 2, 3, 4, 9, 9, 9], [7]),
        ([1, 2, 3, 4, 9, 9, 8, 7], [1, 1]),
    ):
        model.pushed = []
        found = lm.generate(prompt, max_new_tokens=1).tokens
        assert model.pushed == pushed
        assert found == expected.generate(prompt, max_new_tokens=1).tokens

    alone = FakeModel(allows=lambda _, new: new == 1)
    LanguageModel(alone).generate([1, 2, 3], max_new_tokens=2)
    assert alone.pushed == [1, 1, 1, 1]


def test_a_prompt_is_read_once_for_several_texts() -> None:
    model = FakeModel()
    lm = LanguageModel(model)

    several = lm.fork([1, 2, 3, 4], 3, temperature=1.0, seed=5, max_new_tokens=4)

    assert [one.prompt_tokens for one in several] == [4, 4, 4]
    assert (sum(model.pushed), model.forks) == (4 + 3 * 3, 2)
    alone = [
        LanguageModel(FakeModel()).generate(
            [1, 2, 3, 4], temperature=1.0, seed=seed, max_new_tokens=4
        )
        for seed in (5, 6, 7)
    ]
    assert [one.tokens for one in several] == [one.tokens for one in alone]
    assert len({tuple(one.tokens) for one in several}) == 3


def test_several_texts_in_any_order() -> None:
    lm = LanguageModel(FakeModel())
    expected = lm.fork([1, 2], 3, temperature=1.0, seed=5, max_new_tokens=6)

    streams = lm.fork([1, 2], 3, temperature=1.0, seed=5, max_new_tokens=6, stream=True)
    for _ in range(8):
        for stream in reversed(streams):
            next(stream, None)

    assert [stream.result and stream.result.tokens for stream in streams] == [
        one.tokens for one in expected
    ]


def test_several_texts_take_one_place() -> None:
    lm = LanguageModel(FakeModel(), prompt_cache=2)
    lm.generate([7, 8, 9], max_new_tokens=1)

    lm.fork([1, 2, 3], 5, temperature=1.0, max_new_tokens=2)

    assert lm.generate([7, 8, 9], max_new_tokens=1).cached_tokens == 2


def test_a_session_that_failed_is_not_used_again() -> None:
    model = FakeModel()
    lm = LanguageModel(model)
    lm.generate([1, 2, 3], max_new_tokens=2)

    model.fails = True
    for _ in range(2):
        with pytest.raises(RunError, match="the engine broke"):
            lm.generate([1, 2, 3, 4], max_new_tokens=2)
    stream = lm.generate([1, 2, 3], stream=True)
    with pytest.raises(RunError, match="the engine broke"):
        next(stream)
    model.fails = False

    again = lm.generate([1, 2, 3, 4], max_new_tokens=2)
    assert (
        again.tokens == LanguageModel(FakeModel()).generate([1, 2, 3, 4], max_new_tokens=2).tokens
    )


def test_settings_that_cannot_be() -> None:
    bad: list[dict[str, Any]] = [{"prompt_cache": value} for value in (-1, 1.5, None, "2")]
    for options in (*bad, {"prompt_chunk": 0}, {"prompt_chunk": 1.5}):
        with pytest.raises(GenerationError, match=r"prompt_c.*: an int from [01] is needed"):
            LanguageModel(FakeModel(), **options)


def test_tokens_of_any_kind_of_int() -> None:
    lm = LanguageModel(FakeModel())
    expected = lm.generate([1, 2, 3], max_new_tokens=3).tokens

    for prompt in ((1, 2, 3), np.array([1, 2, 3], np.uint8), "1 2 3"):
        assert lm.generate(prompt, max_new_tokens=3).tokens == expected
