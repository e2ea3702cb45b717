"""Choosing tokens, beside transformers' logits processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel
from transformers.generation import logits_process as theirs

from torchtract.errors import GenerationError, RunError
from torchtract.llm import sampling as ours
from torchtract.llm.causal import Logits
from torchtract.llm.sampling import Sampler, Sampling

some_logits = arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-30, 30, width=32))


def random_logits(seed: int, size: int) -> Logits:
    return np.random.default_rng(seed).standard_normal(size, np.float32) * 4


def processed(processor: Any, logits: Logits, tokens: tuple[int, ...] = (0,)) -> Logits:
    scores: torch.Tensor = processor(torch.tensor([tokens]), torch.tensor(logits[None]))
    array: Logits = scores[0].numpy()
    return array


SEEN = (3, 17, 3, 40, 0)


@pytest.mark.parametrize("size", [50, 4000, 50_000])
@pytest.mark.parametrize(
    ("processor", "function"),
    [
        (
            theirs.RepetitionPenaltyLogitsProcessor(1.3),
            lambda x: ours.repetition_penalty(x, SEEN, 1.3),
        ),
        (
            theirs.RepetitionPenaltyLogitsProcessor(0.6),
            lambda x: ours.repetition_penalty(x, SEEN, 0.6),
        ),
        (theirs.TopKLogitsWarper(1), lambda x: ours.top_k(x, 1)),
        (theirs.TopKLogitsWarper(20), lambda x: ours.top_k(x, 20)),
        (theirs.TopKLogitsWarper(5000), lambda x: ours.top_k(x, 5000)),
        (theirs.TopPLogitsWarper(0.01), lambda x: ours.top_p(x, 0.01)),
        (theirs.TopPLogitsWarper(0.5), lambda x: ours.top_p(x, 0.5)),
        (theirs.TopPLogitsWarper(0.9), lambda x: ours.top_p(x, 0.9)),
        (theirs.MinPLogitsWarper(0.05), lambda x: ours.min_p(x, 0.05)),
        (theirs.MinPLogitsWarper(1.0), lambda x: ours.min_p(x, 1.0)),
    ],
    ids=[
        *("repetition_penalty 1.3", "repetition_penalty 0.6", "top_k 1", "top_k 20", "top_k 5000"),
        *("top_p 0.01", "top_p 0.5", "top_p 0.9", "min_p 0.05", "min_p 1"),
    ],
)
def test_as_transformers(processor: Any, function: Callable[[Logits], Logits], size: int) -> None:
    for seed in range(20):
        logits = random_logits(seed, size)
        before = logits.copy()

        np.testing.assert_array_equal(function(logits), processed(processor, logits, SEEN))
        np.testing.assert_array_equal(logits, before)


def test_top_p_where_likely_tokens_are_not_enough() -> None:
    logits = np.linspace(0, 0.1, 20_000, dtype=np.float32)

    kept = np.isfinite(ours.top_p(logits, 0.8))

    expected = np.isfinite(processed(theirs.TopPLogitsWarper(0.8), logits))
    assert 10_000 < kept.sum() < 20_000
    assert abs(int(kept.sum()) - int(expected.sum())) <= 10  # theirs adds up in float32
    assert kept[-kept.sum() :].all()


def test_equals_at_the_edge() -> None:
    logits = np.array([1, 2, 2, 2, 0], np.float32)

    for k in range(1, 6):
        expected = processed(theirs.TopKLogitsWarper(k), logits)
        np.testing.assert_array_equal(ours.top_k(logits, k), expected)
    for p in (0.1, 0.3, 0.6, 0.9):
        expected = processed(theirs.TopPLogitsWarper(p), logits)
        np.testing.assert_array_equal(ours.top_p(logits, p), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7, "top_k": 30, "top_p": 0.8, "repetition_penalty": 1.2},
        {"temperature": 1.5, "top_p": 0.95, "min_p": 0.02},
        {"top_k": 5},
        {"temperature": 3.0, "top_k": 200, "top_p": 0.5, "repetition_penalty": 0.8},
    ],
    ids=str,
)
def test_the_processors_come_in_transformers_order(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_from: list[Logits] = []
    candidates = ours._candidates

    def noted(logits: Logits, sampling: Sampling) -> tuple[ours.Tokens | None, Logits]:
        tokens, kept = candidates(logits, sampling)
        among_all = np.full(300, -np.inf, np.float32)
        among_all[slice(None) if tokens is None else tokens] = kept
        drawn_from.append(among_all)
        return tokens, kept

    monkeypatch.setattr(ours, "_candidates", noted)
    model: Any = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=300))
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **options})
    processors = model._get_logits_processor(config, input_ids_seq_length=5)

    sampler = Sampler(Sampling(**{"temperature": 1.0, **options}), SEEN, 0)
    drawn = [sampler(random_logits(seed, 300)) for seed in range(10)]

    for seed, logits in enumerate(drawn_from):
        tokens = (*SEEN, *drawn[:seed])
        np.testing.assert_array_equal(
            logits, processed(processors, random_logits(seed, 300), tokens)
        )


@given(some_logits, st.integers(1, 70))
def test_top_k_keeps_the_likeliest(logits: Logits, k: int) -> None:
    kept = ours.top_k(logits, k)

    chosen = np.isfinite(kept)
    assert chosen.sum() >= min(k, len(logits))
    np.testing.assert_array_equal(kept[chosen], logits[chosen])
    if not chosen.all():
        assert logits[chosen].min() > logits[~chosen].max()
        assert (logits > logits[chosen].min()).sum() < k


@given(some_logits, st.floats(0.01, 0.999))
def test_top_p_keeps_the_fewest_that_are_enough(logits: Logits, p: float) -> None:
    chosen = np.isfinite(ours.top_p(logits, p))

    weights = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = weights / weights.sum()
    kept = probabilities[chosen]
    assert kept.sum() >= p - 1e-6
    assert kept.sum() - kept.min() < p + 1e-6
    if not chosen.all():
        assert kept.min() >= probabilities[~chosen].max()


@given(some_logits, st.sets(st.integers(0, 80)), st.floats(1.01, 5))
def test_a_penalty_makes_no_token_likelier(logits: Logits, seen: set[int], factor: float) -> None:
    changed = ours.repetition_penalty(logits, seen, factor)

    tokens = [token for token in seen if token < len(logits)]
    others = np.setdiff1d(np.arange(len(logits)), tokens)
    assert (changed[tokens] <= logits[tokens]).all()
    np.testing.assert_array_equal(changed[others], logits[others])


@given(some_logits, st.integers(0, 2**64))
def test_draws_are_repeated_by_their_seed(logits: Logits, seed: int) -> None:
    first, second = (Sampler(Sampling(temperature=1.0), (), seed) for _ in range(2))

    drawn = [first(logits) for _ in range(5)]

    assert drawn == [second(logits) for _ in range(5)]
    assert all(0 <= token < len(logits) for token in drawn)


@given(some_logits)
def test_the_first_of_the_likeliest_without_a_temperature(logits: Logits) -> None:
    assert Sampler(Sampling(), (), 0)(logits) == int(torch.tensor(logits).argmax())


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, np.float32(1e-40), 1e-6, 5e-324])
@pytest.mark.parametrize("filters", [{}, {"top_k": 3, "top_p": 0.9, "min_p": 0.1}], ids=str)
def test_a_low_temperature_draws_the_likeliest(temperature: float, filters: dict[str, Any]) -> None:
    logits = np.array([-3e38, 1.0, 3.0, -np.inf, 2.0], np.float32)
    sampler = Sampler(Sampling(temperature=temperature, **filters), (), 0)
    assert [sampler(logits) for _ in range(5)] == [2] * 5


def test_a_temperature_may_be_very_high() -> None:
    sampler = Sampler(Sampling(temperature=1e308), (), 0)
    assert {sampler(np.array([-3e38, 1.0, 3.0], np.float32)) for _ in range(50)} == {0, 1, 2}


def test_frequencies_are_the_probabilities() -> None:
    logits = np.array([0.0, 1.0, -np.inf, 2.0, -1.0], np.float32)
    sampler = Sampler(Sampling(temperature=0.5), (), 0)

    drawn = np.bincount([sampler(logits) for _ in range(20_000)], minlength=5) / 20_000

    expected = torch.softmax(torch.tensor(logits) / 0.5, 0).numpy()
    np.testing.assert_allclose(drawn, expected, atol=0.01)
    assert drawn[2] == 0


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    class Largest(np.random.Generator):
        def random(self, *_: Any, **__: Any) -> Any:
            return np.nextafter(1.0, 0.0)

    logits = np.array([0.0, -1e4, 5.0, -1e4, -np.inf], np.float32)

    assert ours._draw(logits, Largest(np.random.PCG64(0))) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers(bad: float) -> None:
    for sampling in (Sampling(), Sampling(temperature=1.0)):
        with pytest.raises(RunError, match="the model gave the logit"):
            Sampler(sampling, (), 0)(np.array([0, bad, 1], np.float32))


@pytest.mark.parametrize(
    "bad",
    [
        *({"temperature": -0.1}, {"temperature": np.nan}, {"temperature": np.inf}),
        *({"temperature": "1"}, {"temperature": True}, {"top_k": -1}, {"top_k": 1.5}),
        *({"top_k": True}, {"top_p": 0.0}, {"top_p": 1.01}, {"top_p": np.nan}, {"top_p": "x"}),
        *({"min_p": -0.1}, {"min_p": 1.1}, {"repetition_penalty": 0}),
        *({"repetition_penalty": -1.0}, {"repetition_penalty": np.inf}),
        *({"repetition_penalty": 1e-300}, {"repetition_penalty": 1e300}),
        *({"temperature": 10**400}, {"temperature": -(10**400)}),
    ],
    ids=str,
)
def test_values_that_cannot_be(bad: dict[str, Any]) -> None:
    with pytest.raises(GenerationError, match=f"{next(iter(bad))}=.* is needed"):
        Sampling(**bad)
