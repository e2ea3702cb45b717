"""Models that answer a text: an encoder's file, a decoder's, and both beside transformers."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from llm.families import ENCODER_DECODERS, tiny
from torchtract import llm, load
from torchtract.errors import (
    CaptureError,
    FormatError,
    GenerationError,
    LoadError,
    RunError,
    SymbolError,
)

NEW_TOKENS = 64
PENALTY = 3.0


def prompt_of(length: int) -> torch.Tensor:
    return torch.randint(3, 97, (1, length), generator=torch.Generator().manual_seed(length))


def greedy(model: PreTrainedModel, prompt: torch.Tensor) -> list[int]:
    """What transformers answers. The penalty keeps random weights from repeating themselves."""
    text = model.generate(  # type: ignore[operator]
        prompt,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        repetition_penalty=PENALTY,
        eos_token_id=None,
        pad_token_id=0,
    )
    expected: list[int] = text[0, 1:].tolist()
    return expected


def without_end(folder: Path) -> llm.LanguageModel:
    """A folder's model, whose texts end by their length alone."""
    decoder = load(folder / "model.nnef.tar").causal()
    settings = llm.Settings(eos_token_ids=())
    return llm.LanguageModel(
        llm.EncoderDecoder.load(folder / "model.nnef.tar", decoder), settings=settings
    )


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_greedy_tokens_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    model = tiny(family)
    expected = {length: greedy(model, prompt_of(length)) for length in (1, 7, 40)}
    assert len({tuple(tokens) for tokens in expected.values()}) > 1
    assert min(len(set(tokens)) for tokens in expected.values()) > 8

    llm.export(model, tmp_path / "m")

    answering = without_end(tmp_path / "m")
    for length, tokens in expected.items():
        prompt = prompt_of(length)[0].tolist()
        result = answering.generate(prompt, max_new_tokens=NEW_TOKENS, repetition_penalty=PENALTY)
        assert result.tokens == tokens


def test_tract_recognises_attention_to_both_texts(tmp_path: Path) -> None:
    folder = llm.export(tiny("BartForConditionalGeneration"), tmp_path / "m", check_io=False)
    found = Counter(node.op for node in load(folder / "model.nnef.tar").causal().nodes())
    assert (found["InPlaceKvSdpa"], found["FlashSDPA"]) == (3, 3)


@pytest.fixture(scope="module")
def t5() -> PreTrainedModel:
    return tiny("T5ForConditionalGeneration", vocab_size=400)


@pytest.fixture(scope="module")
def hf_folder(
    t5: PreTrainedModel, bpe: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """T5 in Hugging Face's format, with a tokenizer."""
    folder = tmp_path_factory.mktemp("hf")
    t5.save_pretrained(folder)
    bpe.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def exported(hf_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That folder, exported. It is only read."""
    return llm.export(hf_folder, tmp_path_factory.mktemp("t5") / "m")


@pytest.fixture(scope="module")
def exported_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bart") / "m"
    return llm.export(tiny("BartForConditionalGeneration"), folder, check_io=False)


def test_a_folder_answers_texts(hf_folder: Path, exported: Path, bpe: Tokenizer) -> None:
    answering = llm.load(exported)

    result = answering.generate("A question?", max_new_tokens=12)

    prompt = torch.tensor([bpe.encode("A question?").ids])
    expected = AutoModelForSeq2SeqLM.from_pretrained(hf_folder).generate(
        prompt, max_new_tokens=12, do_sample=False
    )
    assert result.tokens == expected[0, 1:].tolist()
    assert result.text == bpe.decode(result.tokens)
    assert result.prompt_tokens == prompt.shape[1]
    assert (result.cached_tokens, result.timings.prompt_tokens) == (0, prompt.shape[1])
    pieces = list(answering.generate("A question?", max_new_tokens=12, stream=True))
    assert "".join(pieces) == result.text
    several = answering.fork("A question?", 2, temperature=1.0, seed=1, max_new_tokens=12)
    assert several[0].tokens != several[1].tokens
    assert several[1] == answering.generate(
        "A question?", temperature=1.0, seed=2, max_new_tokens=12
    )


def test_weights_may_stay_in_their_files(hf_folder: Path, exported: Path, tmp_path: Path) -> None:
    lazy = llm.export(hf_folder, tmp_path / "lazy", check_io=False)
    for file in ("model.nnef.tar", "encoder.nnef.tar"):
        assert (lazy / file).read_bytes() == (exported / file).read_bytes()


def test_quantised_and_half_are_smaller(
    t5: PreTrainedModel, exported: Path, tmp_path: Path
) -> None:
    folders = {
        "whole": exported,
        "q4_0": llm.export(t5, tmp_path / "q4_0", quantize="q4_0"),
        "half": llm.export(t5, tmp_path / "half", dtype=torch.float16),
    }
    sizes = {}
    for name, folder in folders.items():
        files = [folder / f"{part}.nnef.tar" for part in ("encoder", "model")]
        sizes[name] = sum(file.stat().st_size for file in files)
        assert len(without_end(folder).generate([5, 6, 7], max_new_tokens=8).tokens) == 8
    assert sizes["half"] < 0.75 * sizes["whole"]
    assert sizes["q4_0"] < 0.75 * sizes["whole"]


def test_sessions_keep_their_own_context(t5: PreTrainedModel, exported: Path) -> None:
    encoder = load(exported / "encoder.nnef.tar").compile()
    decoder = load(exported / "model.nnef.tar").causal()
    told = [encoder.run({"input_ids": prompt_of(length).numpy()}) for length in (3, 9)]

    first, second = (decoder.session(context) for context in told)
    for context in told:
        for array in context.values():
            array[:] = 0  # the sessions have copies
    alone = [first.push([0]), second.push([0])]

    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    for session, prompt, logits in zip((first, second), (3, 9), alone, strict=True):
        fork = session.fork()
        with torch.no_grad():
            expected = t5(
                input_ids=prompt_of(prompt), decoder_input_ids=torch.tensor([[0, 8]])
            ).logits[0]
        np.testing.assert_allclose(logits, expected[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(fork.push([8]), expected[1], rtol=1e-3, atol=1e-3)
        session.truncate(0)
        np.testing.assert_array_equal(session.push([0]), logits)


def test_another_context_is_refused(exported: Path) -> None:
    decoder = load(exported / "model.nnef.tar").causal()
    right = {fact.name: np.zeros((1, 4, 5, 8), np.float32) for fact in decoder.context}
    decoder.session(right)
    with pytest.raises(RunError, match=r"is told cross_key_0: 1,4,T,8,F32.* was given none"):
        decoder.session()
    with pytest.raises(RunError, match=r"cross_value_1.*got float32 \(1, 4, 5\)"):
        decoder.session({**right, "cross_value_1": np.zeros((1, 4, 5), np.float32)})
    with pytest.raises(RunError, match="disagree about T"):
        decoder.session({**right, "cross_key_1": np.zeros((1, 4, 6, 8), np.float32)})
    with pytest.raises(SymbolError, match=r"T=0 .*asserts"):
        decoder.session({name: array[:, :, :0] for name, array in right.items()})
    with pytest.raises(RunError, match="cross_value_1, x"):
        decoder.session({**right, "x": np.zeros(1)})


def test_prompts_that_are_too_long_are_refused(exported_bart: Path) -> None:
    answering = without_end(exported_bart)
    assert len(answering.generate([5] * 96, max_new_tokens=200).tokens) == 95
    with pytest.raises(GenerationError, match="97 tokens, and its encoder takes 96"):
        answering.generate([5] * 97)
    with pytest.raises(GenerationError, match="empty"):
        answering.generate([])
    with pytest.raises(GenerationError, match="no token 97"):
        answering.generate([97])
    with pytest.raises(GenerationError, match="does not continue"):
        llm.perplexity(answering, [1, 2, 3])


def test_a_folder_without_its_encoder_is_refused(
    exported: Path, exported_bart: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported, tmp_path / "m")
    shutil.copy(exported_bart / "model.nnef.tar", folder)
    with pytest.raises(LoadError, match="gives no cross_key_2"):
        llm.load(folder)

    (folder / "encoder.nnef.tar").unlink()
    with pytest.raises(LoadError, match=r"no encoder\.nnef\.tar"):
        llm.load(folder)


def test_a_file_alone_is_refused(t5: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"becomes two files.*give a folder"):
        llm.export(t5, tmp_path / "m.nnef.tar")
    assert not list(tmp_path.iterdir())


def test_encoders_of_sound_are_refused(tmp_path: Path) -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes: dict[str, Any] = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "vocab_size": 99,
        "pad_token_id": 0,
    }
    whisper = WhisperForConditionalGeneration(WhisperConfig(**sizes))
    with pytest.raises(CaptureError, match="its encoder reads input_features"):
        llm.export(whisper, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_first_token_is_refused(tmp_path: Path) -> None:
    model = tiny("T5ForConditionalGeneration", decoder_start_token_id=None, bos_token_id=None)
    model.generation_config = None  # type: ignore[assignment]
    with pytest.raises(CaptureError, match="decoder_start_token_id"):
        llm.export(model, tmp_path / "m")
