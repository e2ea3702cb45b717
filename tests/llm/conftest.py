"""A tokenizer and folders as Hugging Face writes them, made of the repository's own texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from torchtract.llm.folder import read_tokenizer
from torchtract.llm.tokenizer import FolderTokenizer

ROOT = Path(__file__).parents[2]
SPECIAL_TOKENS = ["<|start|>", "<|end|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = """\
{{ bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('no role is called ' + message.role) }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
CONFIG: dict[str, Any] = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|start|>",
    "eos_token": {"__type": "AddedToken", "content": "<|end|>", "special": True},
}

#: Writes a folder with a tokenizer; keywords are files, as plain data or text, or None for none.
WriteFolder: TypeAlias = "Callable[..., Path]"


@pytest.fixture(scope="session")
def bpe() -> Tokenizer:
    """A byte-level BPE of 400 tokens, which puts one at the start of a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(ROOT / "README.md"), str(ROOT / "CONTRIBUTING.md")], trainer)
    start = ("<|start|>", tokenizer.token_to_id("<|start|>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|start|> $A", pair=None, special_tokens=[start]
    )
    return tokenizer


@pytest.fixture
def folder(tmp_path: Path, bpe: Tokenizer) -> WriteFolder:
    def write(name: str = "lm", **files: Any) -> Path:
        path = tmp_path / name
        path.mkdir()
        written = {
            "model.nnef.tar": "",
            "tokenizer.json": bpe.to_str(),
            "tokenizer_config.json": CONFIG,
            "chat_template.jinja": CHAT_TEMPLATE,
            **files,
        }
        for file, content in written.items():
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (path / file).write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def tokenizer(folder: WriteFolder) -> FolderTokenizer:
    return read_tokenizer(folder())
