"""Exported folders and files: text in, text out; and what can't be loaded."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from llm.conftest import WriteFolder
from llm.families import tiny
from llm.texts import CONFIG, write_language_model
from torchtract import llm
from torchtract.errors import EngineError, GenerationError, LoadError
from torchtract.llm.folder import read_settings

MESSAGES = [{"role": "user", "content": "Which models stream?"}]


@pytest.fixture(scope="module")
def lm(exported: Path) -> llm.LanguageModel:
    return llm.load(exported)


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A folder to change."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a package as if it were not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


@torch.no_grad()
def by_transformers(ids: Sequence[int], max_new_tokens: int) -> list[int]:
    """The greedy tokens behind a prompt."""
    model: Any = tiny("LlamaForCausalLM", vocab_size=400, max_position_embeddings=1024)
    prompt = torch.tensor([ids])
    text = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=3,
        pad_token_id=0,
    )
    tokens: list[int] = text[0, len(ids) :].tolist()
    return tokens


@pytest.mark.parametrize("prompt", ["Models", "tract is", "Frames \N{SLIGHTLY SMILING FACE}"])
def test_texts_are_those_of_transformers(
    lm: llm.LanguageModel, exported: Path, prompt: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported)
    expected = by_transformers(tokenizer.encode(prompt), 64)
    assert len(set(expected)) > 2

    result = lm.generate(prompt, max_new_tokens=64)

    assert result.tokens == expected
    assert result.text == tokenizer.decode(expected, skip_special_tokens=True)


def test_a_chat_is_that_of_transformers(lm: llm.LanguageModel, exported: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported)
    given: Any = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)
    ids = given["input_ids"]

    answer = lm.chat(MESSAGES, max_new_tokens=32)

    assert answer.tokens == by_transformers(ids, 32)


def test_a_conversation_is_read_once(exported: Path) -> None:
    lm = llm.load(exported, prompt_chunk=16)
    first = lm.chat(MESSAGES, max_new_tokens=8)
    longer = [
        *MESSAGES,
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "And which do not?"},
    ]

    answer = lm.chat(longer, max_new_tokens=8)

    assert answer.cached_tokens >= first.prompt_tokens
    lm.forget()
    afresh = lm.chat(longer, max_new_tokens=8)
    assert (afresh.cached_tokens, afresh.tokens) == (0, answer.tokens)


def test_several_continuations(lm: llm.LanguageModel) -> None:
    several = lm.fork("Models", 3, temperature=1.0, seed=1, max_new_tokens=16)

    lm.forget()
    alone = [
        lm.generate("Models", temperature=1.0, seed=seed, max_new_tokens=16) for seed in (1, 2, 3)
    ]
    assert [one.tokens for one in several] == [one.tokens for one in alone]
    assert len({one.text for one in several}) == 3


def test_a_file_alone_has_token_ids_or_the_tokenizer_of_a_folder(
    exported: Path, lm: llm.LanguageModel, bpe: Tokenizer, tmp_path: Path
) -> None:
    file = write_language_model(tmp_path / "m.nnef.tgz", bpe, tmp_path / "texts")
    expected = lm.generate("Models", max_new_tokens=8)

    ids = llm.load(file)
    assert ids.eos_token_ids == (3,)
    result = ids.generate(lm.tokenizer.encode("Models"), max_new_tokens=8)
    assert result.tokens == expected.tokens
    assert result.text == "".join(f" {token}" for token in expected.tokens)

    texts = llm.load(str(file), tokenizer=str(exported), threads=2)
    assert texts.generate("Models", max_new_tokens=8).text == expected.text
    assert texts.chat(MESSAGES, max_new_tokens=4).tokens
    by_file = llm.load(file, tokenizer=exported / "tokenizer.json")
    assert by_file.generate("Models", max_new_tokens=8).text == expected.text


def test_generating_loads_no_torch(exported: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from torchtract import llm\n"
        f"lm = llm.load({str(exported)!r})\n"
        "print(len(lm.generate('Models', max_new_tokens=5, temperature=1.0, seed=1).tokens))\n"
        "print(len(lm.chat([{'role': 'user', 'content': 'Hi'}], max_new_tokens=5).tokens))"
    )

    run = subprocess.run(  # noqa: PLW1510
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert (run.stdout, run.stderr) == ("5\n5\n", "")


def test_a_prompt_may_fill_the_model(lm: llm.LanguageModel) -> None:
    assert lm.max_length == 1024
    result = lm.generate([7] * 1020, max_new_tokens=100)
    assert len(result.tokens) <= 4

    with pytest.raises(GenerationError, match="1024 tokens, and the model takes 1024"):
        lm.generate([7] * 1024)


@pytest.mark.parametrize("file", ["tokenizer.json", "model.nnef.tar"])
def test_a_file_that_is_missing(copy: Path, file: str) -> None:
    (copy / file).unlink()

    with pytest.raises(LoadError, match=f"it has no {file}") as caught:
        llm.load(copy)
    assert "model.nnef.tar" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", "{", "no tokenizer can be read"),
        ("tokenizer.json", "{}", "no tokenizer can be read"),
        ("tokenizer.json", b"\xff", "no tokenizer can be read"),
        ("tokenizer_config.json", "[]", "an object is needed"),
        ("tokenizer_config.json", '{"chat_template": 3}', "chat_template"),
        ("tokenizer_config.json", '{"chat_template": [{"name": "default"}]}', "chat_template"),
        ("chat_template.jinja", b"\xff", "chat_template.jinja"),
        ("generation_config.json", "{,}", "no JSON"),
        ("generation_config.json", '{"temperature": -1}', "temperature=-1"),
        ("generation_config.json", '{"num_beams": 4}', "num_beams=4"),
        ("generation_config.json", '{"encoder_no_repeat_ngram_size": 3}', "ngram_size=3"),
        ("generation_config.json", '{"encoder_repetition_penalty": 1.5}', "penalty=1.5"),
        ("generation_config.json", '{"do_sample": "no"}', "do_sample='no': true or false"),
        ("generation_config.json", '{"max_new_tokens": 0}', "max_new_tokens=0"),
        ("generation_config.json", '{"eos_token_id": "end"}', "eos_token_id='end'"),
        ("config.json", "x", "no JSON"),
        ("config.json", '{"text_config": 5}', "text_config=5"),
        ("model.nnef.tar", "x", "model.nnef.tar"),
    ],
    ids=str,
)
def test_a_file_that_is_broken(copy: Path, file: str, content: Any, words: str) -> None:
    if file == "config.json":
        (copy / "generation_config.json").unlink()
    if file == "tokenizer_config.json":
        (copy / "chat_template.jinja").unlink()
    (copy / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(LoadError, match=words):
        llm.load(copy)


@pytest.mark.parametrize("threads", ["2", 1.5, 10**12])
def test_a_number_of_threads_that_can_not_be(exported: Path, threads: Any) -> None:
    with pytest.raises(EngineError, match=f"threads={threads!r}: can't be"):
        llm.load(exported, threads=threads)


def test_a_foreign_tokenizer(copy: Path, bpe: Tokenizer) -> None:
    larger = Tokenizer.from_str(bpe.to_str())
    larger.add_tokens(["one more"])
    larger.save(str(copy / "tokenizer.json"))

    with pytest.raises(LoadError, match="has 401 tokens and the model 400: it is another model's"):
        llm.load(copy)


def test_a_path_that_is_missing(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="missing"):
        llm.load(tmp_path / "missing")
    with pytest.raises(LoadError, match="no such folder"):
        llm.load(exported, tokenizer=tmp_path / "missing")
    with pytest.raises(LoadError, match=r"it is a file; give the folder with tokenizer\.json"):
        llm.load(exported, tokenizer=exported / "tokenizer_config.json")


def test_a_model_that_is_no_language_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "graph.nnef").write_text(
        "version 1.0;\ngraph network(x) -> (y)\n{\n"
        "    x = external<scalar>(shape = [1, 4]);\n    y = tanh(x);\n}\n"
    )

    with pytest.raises(EngineError, match="no causal language model"):
        llm.load(folder)


def test_packages_that_are_not_installed(exported: Path, without: Callable[[str], None]) -> None:
    without("tokenizers")
    with pytest.raises(LoadError, match=r"pip install 'torchtract\[llm\]'"):
        llm.load(exported)
    assert llm.load(exported / "model.nnef.tar").generate([5], max_new_tokens=2).tokens


def test_chat_without_jinja2(lm: llm.LanguageModel, without: Callable[[str], None]) -> None:
    without("jinja2")
    with pytest.raises(LoadError, match=r"pip install 'torchtract\[llm\]'"):
        lm.chat(MESSAGES)
    assert lm.generate("Hi", max_new_tokens=2).tokens


def settings(folder: WriteFolder, name: str, **files: Any) -> llm.Settings:
    return read_settings(folder(name, **{f"{file}.json": text for file, text in files.items()}))


def test_what_files_say_of_the_end_of_text(folder: WriteFolder) -> None:
    def found(name: str, **files: Any) -> tuple[int, ...] | None:
        return settings(folder, name, **files).eos_token_ids

    config = {"eos_token_id": 5}
    assert found("neither") is None
    assert found("config", config=config) == (5,)
    assert found("text config", config={"text_config": {"eos_token_id": [5, 6]}}) == (5, 6)
    assert found("both", config=config, generation_config={"eos_token_id": [7]}) == (7,)
    assert found("silent", config=config, generation_config={"do_sample": True}) == (5,)


def test_what_files_say_of_sampling(folder: WriteFolder) -> None:
    silent = settings(folder, "silent", generation_config={"temperature": None}).sampling_for()
    assert silent.temperature == 0
    told = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "stop_strings": "END"}
    found = settings(folder, "told", generation_config=told)
    # As transformers, which leaves a top_k of 50 out of the file.
    assert found.sampling_for() == llm.Sampling(temperature=0.6, top_p=0.9, top_k=50)
    assert found.sampling_for(top_k=0, temperature=1.0) == llm.Sampling(temperature=1.0, top_p=0.9)
    assert found.stop == ("END",)
    # As old versions of transformers write it: all that they know.
    old = {"max_length": 20, "encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0}
    assert settings(folder, "old", generation_config=old) == llm.Settings()


def test_special_tokens_of_any_form(folder: WriteFolder) -> None:
    from torchtract.llm.folder import special_tokens

    path = folder(
        **{
            "tokenizer_config.json": {**CONFIG, "pad_token": None},
            "special_tokens_map.json": json.dumps({"bos_token": "<s>", "unk_token": "<unk>"}),
        }
    )
    assert special_tokens(path) == {
        "bos_token": "<|start|>",
        "eos_token": "<|end|>",
        "unk_token": "<unk>",
    }


def test_names_of_the_package() -> None:
    assert all(hasattr(llm, name) for name in llm.__all__)
    with pytest.raises(AttributeError, match="expert"):
        importlib.import_module("torchtract.llm").expert  # noqa: B018
