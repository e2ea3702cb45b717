"""A language model of 100 million parameters: prompts, tokens and memory, beside the peers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import torchtract as tt
from benchmarks.measure import Samples, race
from benchmarks.report import Comparison, Report

PROMPT = 128
PAST = 512
CONFIG: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "intermediate_size": 2048,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
TOKENS = np.random.default_rng(0).integers(3, 32_000, PAST)


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG))
    model.eval()
    return model


@pytest.fixture(scope="module")
def files(llama: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model by how its weights are stored."""
    folder = tmp_path_factory.mktemp("llama")
    forms: dict[str, str | None] = {"f32": None, "q4_0": "q4_0"}
    return {
        name: tt.llm.export(llama, folder / f"{name}.nnef.tar", quantize=form, check_io=False)
        for name, form in forms.items()
    }


class OfTransformers:
    """A session of transformers."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._model = model
        self._cache = DynamicCache(config=model.config)

    def push(self, tokens: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            ids = torch.from_numpy(tokens)[None]
            output = self._model(ids, cache=self._cache, use_cache=True, logits_to_keep=1)
        logits: np.ndarray = output.logits[0, -1].numpy()
        return logits


class OfWheel:
    """tract's own wheel, with tract's transform for language models."""

    def __init__(self, file: Path) -> None:
        import tract

        model = tract.nnef().with_tract_transformers().load(file)
        model.transform("transformers_detect_all")
        self._runnable = model.into_runnable()
        self._state = self._runnable.spawn_state()

    def push(self, tokens: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._state.run([tokens[None]])[0].to_numpy()[0, -1]
        return logits


def test_prompt_and_token(
    report: Report, rounds: Callable[[int], int], llama: LlamaForCausalLM, files: dict[str, Path]
) -> None:
    torch.set_num_threads(1)
    models = {name: tt.load(file).causal() for name, file in files.items()}
    sessions: dict[str, Any] = {
        "torchtract": models["f32"].session(),
        "torchtract, q4_0": models["q4_0"].session(),
        "transformers": OfTransformers(llama),
        "tract": OfWheel(files["f32"]),
    }
    logits = {name: session.push(TOKENS) for name, session in sessions.items()}
    for name in ("torchtract", "tract"):
        np.testing.assert_allclose(logits[name], logits["transformers"], rtol=1e-3, atol=1e-3)
    # Each token makes all texts longer alike.
    one = TOKENS[:1]
    steps = {name: lambda s=session: s.push(one) for name, session in sessions.items()}
    tokens = race(steps, rounds(30))
    what = f"a token after {PAST}"
    report.add(
        Comparison(what, tokens["torchtract"], tokens["transformers"], target=1.0),
        Comparison(what, tokens["torchtract"], tokens["tract"], target=1.0),
        Comparison(what, tokens["torchtract, q4_0"], tokens["torchtract"]),
    )
    prompt = TOKENS[:PROMPT]
    new: dict[str, Callable[[], object]] = {
        "torchtract": lambda: models["f32"].session().push(prompt),
        "torchtract, q4_0": lambda: models["q4_0"].session().push(prompt),
        "transformers": lambda: OfTransformers(llama).push(prompt),
    }
    prompts = race(new, rounds(10))
    what = f"a prompt of {PROMPT}"
    report.add(
        Comparison(what, prompts["torchtract"], prompts["transformers"], target=1.0),
        Comparison(what, prompts["torchtract, q4_0"], prompts["torchtract"]),
    )


def test_size_of_the_file(report: Report, files: dict[str, Path]) -> None:
    small, large = (Samples(name, [files[name].stat().st_size / 1e6]) for name in ("q4_0", "f32"))
    report.add(Comparison("size of the file", small, large, unit="MB", target=1 / 4))


EXPORT = """
import sys, torch, torchtract.llm.exporter
from torchtract import llm
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak is that from here on
before = peak()
llm.export(sys.argv[1], sys.argv[2], check_io=False)
print(peak() - before)
"""


def test_memory_of_exporting(report: Report, llama: LlamaForCausalLM, tmp_path: Path) -> None:
    """Beside the largest of the weights, of which one at a time is in memory."""
    llama.save_pretrained(tmp_path / "hf", max_shard_size="100MB")
    command = [sys.executable, "-W", "ignore", "-c", EXPORT, str(tmp_path / "hf")]
    done = subprocess.run(
        [*command, str(tmp_path / "m.nnef.tar")], check=True, capture_output=True, text=True
    )
    weights = [weight.nbytes / 1e6 for weight in llama.parameters()]
    taken = Samples("torchtract", [float(done.stdout)])
    report.add(
        Comparison(
            "memory of exporting from files",
            *(taken, Samples("the largest weight", [max(weights)])),
            unit="MB",
            excess_target=200,
        ),
        Comparison(
            "memory of exporting from files",
            *(taken, Samples("all weights", [sum(weights)])),
            unit="MB",
        ),
    )
