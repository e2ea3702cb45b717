"""Embeddings of sentences by real weights, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from sentence_embeddings import SENTENCES, SentenceEncoder, embed, expected, export
from torchtract import Model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    encoder: SentenceEncoder = SentenceEncoder().eval()
    return encoder


@pytest.fixture(scope="module")
def model(encoder: SentenceEncoder) -> Model:
    return export(encoder)


@pytest.mark.parametrize("texts", [SENTENCES, SENTENCES[:1], ["", SENTENCES[3] * 20]])
def test_equals_pytorch(encoder: SentenceEncoder, model: Model, texts: list[str]) -> None:
    vectors = embed(model, texts)

    np.testing.assert_allclose(vectors, expected(encoder, texts), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_padding_has_no_influence(model: Model) -> None:
    alone = embed(model, SENTENCES[:1])

    np.testing.assert_allclose(embed(model, SENTENCES)[:1], alone, atol=1e-5)


def test_sentences_that_mean_the_same_are_alike(model: Model) -> None:
    vectors = embed(model, SENTENCES)
    alike = vectors @ vectors.T

    assert alike[0, 1] > 0.4
    assert alike[2, 3] > 0.4
    assert np.abs(alike[:4, 4]).max() < 0.3
