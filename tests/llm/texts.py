"""A tokenizer made of a text of the repository, and what Hugging Face writes beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

__all__ = [
    "CHAT_TEMPLATE",
    "CONFIG",
    "trained_tokenizer",
    "write_language_model",
    "write_tokenizer",
]

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


def trained_tokenizer() -> Tokenizer:
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
    # A text that nobody edits: what a random model says hangs on its tokens.
    tokenizer.train([str(ROOT / "LICENSE-APACHE")], trainer)
    start = ("<|start|>", tokenizer.token_to_id("<|start|>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|start|> $A", pair=None, special_tokens=[start]
    )
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write it and the chat template as Hugging Face does."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIG), "utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")


def write_language_model(path: Path, tokenizer: Tokenizer, texts: Path, **options: Any) -> Path:
    """Exports a tiny Llama for a tokenizer, with a chat template, for texts of 1024 tokens.

    Args:
        path: a folder, or a file for the model alone.
        tokenizer: as `trained_tokenizer`.
        texts: a folder for the tokenizer's files.
        options: of the export.
    """
    from llm.families import tiny
    from torchtract import llm

    model = tiny("LlamaForCausalLM", vocab_size=400, max_position_embeddings=1024)
    model.generation_config.eos_token_id = tokenizer.token_to_id("<|im_end|>")
    texts.mkdir(exist_ok=True)
    write_tokenizer(tokenizer, texts)
    return llm.export(model, path, tokenizer=texts, check_io=False, **options)
