"""A language model from PyTorch to text: trained, exported, quantised, generating.

A small Llama learns this package's own source code for a minute, since pretrained weights would
be a download. It is exported twice, with its weights as they are and with 4 bits each; perplexity
on a file that it has not seen tells what that costs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from torchtract import llm

console = Console(highlight=False)

SOURCES = sorted((Path(__file__).parents[1] / "python" / "torchtract").rglob("*.py"))
HELD_OUT = "runnable.py"
LENGTH, BATCH, STEPS = 128, 8, 300
VOCABULARY = 1024
PROMPT = "def load(path: str) -> Model:\n"


def texts() -> tuple[str, str]:
    """What is learnt, and what is not."""
    seen = [path.read_text("utf-8") for path in SOURCES if path.name != HELD_OUT]
    unseen = [path.read_text("utf-8") for path in SOURCES if path.name == HELD_OUT]
    return "\n".join(seen), "\n".join(unseen)


def trained_tokenizer(text: str) -> Tokenizer:
    """A byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def trained_model(tokens: torch.Tensor, steps: int = STEPS) -> PreTrainedModel:
    """A Llama of 1.2 million parameters that has seen some stretches of a text."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=384,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in track(range(steps), "training", console=console, transient=True):
        starts = torch.randint(len(tokens) - LENGTH, (BATCH,))
        batch = torch.stack([tokens[start : start + LENGTH] for start in starts])
        loss = model(batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    return model


def table(files: dict[str, Path], unseen: str) -> Table:
    """What each form of the weights takes and gives."""
    result = Table("weights", "file", "perplexity")
    for name, folder in files.items():
        size = (folder / "model.nnef.tar").stat().st_size / 1e6
        perplexity = llm.perplexity(llm.load(folder), unseen, max_tokens=1024)
        result.add_row(name, f"{size:.2f} MB", f"{perplexity:.2f}")
    return result


def main() -> None:
    text, unseen = texts()
    tokenizer = trained_tokenizer(text)
    model = trained_model(torch.tensor(tokenizer.encode(text).ids))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder / "model")
        tokenizer.save(str(folder / "model" / "tokenizer.json"))
        forms = {"float32": None, "q4_0": "q4_0"}
        files = {
            form: llm.export(folder / "model", folder / form, quantize=quantize)
            for form, quantize in forms.items()
        }
        console.print(table(files, unseen))

        lm = llm.load(files["q4_0"])
        options: llm.GenerationOptions = {"max_new_tokens": 60, "temperature": 0.7, "seed": 1}
        console.print(f"{PROMPT}[green]", end="")
        for piece in lm.generate(PROMPT, stream=True, **options):
            console.print(escape(piece), end="", style="green")
        console.print()


if __name__ == "__main__":
    main()
