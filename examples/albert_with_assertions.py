"""Albert for any number of texts of any length up to 32000 tokens.

Exports transformers' model, of its base size but with random weights, with three inputs
that share the symbols B and S, and compares with PyTorch on padded texts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AlbertConfig, AlbertModel, BatchEncoding, PreTrainedTokenizerFast

from torchtract import TractNNEF, errors, export_model_to_nnef, load

console = Console(highlight=False)

TEXTS = [
    "Hello, I am happy",
    "and also I am blond",
    "A mask tells the words of a text from the padding that makes all texts equally long",
]
INPUT_NAMES = ["input_ids", "attention_mask", "token_type_ids"]


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of these few words: the pretrained one would be a download."""
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<pad>", "[UNK]", "[CLS]", "[SEP]"]
    words.train_from_iterator(TEXTS, trainers.WordPieceTrainer(special_tokens=special))
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, words.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        model_input_names=INPUT_NAMES,
    )


def seeded_albert() -> AlbertModel:
    torch.manual_seed(0)
    base = AlbertConfig(hidden_size=768, num_attention_heads=12, intermediate_size=3072)
    model: AlbertModel = AlbertModel(base).eval()
    return model


def export(model: AlbertModel, inputs: BatchEncoding, folder: Path) -> Path:
    """A file for any number of texts B and of tokens S."""
    path = folder / "albert_v2_dyn.nnef.tgz"
    with console.status("capturing, lowering, writing 47 MB, checking at several sizes ..."):
        export_model_to_nnef(
            model=model,
            args=[inputs[k] for k in INPUT_NAMES],
            file_path_export=path,
            inference_target=TractNNEF(
                dynamic_axes={name: {0: "B", 1: "S"} for name in INPUT_NAMES},
                version="0.21.13",
                check_io=True,
            ),
            input_names=INPUT_NAMES,
            output_names=["output"],
            debug_bundle_path=folder / "debug.tgz",
            custom_extensions=[
                "tract_assert B >= 1",
                "tract_assert S >= 1",
                "tract_assert S <= 32000",
            ],
        )
    return path


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def main() -> None:
    model, encode = seeded_albert(), tokenizer()
    with tempfile.TemporaryDirectory() as temporary:
        step("1. Export on two texts, with the symbols B and S on all three inputs")
        inputs = encode(TEXTS[:2], padding=True, return_tensors="pt")
        path = export(model, inputs, Path(temporary))
        console.print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, equal to PyTorch")
        albert = load(path)

    step("2. What goes in and what comes out: one name stands for both tensors of Albert")
    console.print(*albert.inputs, *albert.outputs, sep="\n", markup=False)
    console.print("asserted:", ", ".join(albert.assertions), markup=False)

    step("3. Other texts: what the mask hides has no influence on the others")
    runnable = albert.compile()
    for texts in (TEXTS[:1], TEXTS, TEXTS * 4):
        inputs = encode(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs)
        actual = runnable.run(dict(inputs))
        difference = max(
            float(np.abs(ours - theirs.numpy()).max())
            for ours, theirs in zip(actual.values(), expected.values(), strict=True)
        )
        batch, tokens = inputs["input_ids"].shape
        padding = int((inputs["attention_mask"] == 0).sum())
        console.print(
            f"B={batch}, S={tokens}, {padding} of {batch * tokens} tokens are padding: "
            f"all within {difference:.0e}"
        )

    step("4. Inputs that disagree about S are refused")
    try:
        runnable.run({**inputs, "attention_mask": inputs["attention_mask"][:, 1:]})
    except errors.TorchTractError as refusal:
        console.print(str(refusal), style="yellow", markup=False)


if __name__ == "__main__":
    main()
