"""A language model of 100 million parameters: prompts, tokens and memory, beside the peers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import torchtract as tt
from benchmarks.measure import Samples, race
from benchmarks.report import Comparison, Report
from torchtract.llm.exporter.cached import CachedModel

PROMPT = 512
NEW = 128
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
TOKENS = np.random.default_rng(0).integers(3, 32_000, PROMPT)


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
    """A text that transformers reads."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._model = model
        self._cache = DynamicCache(config=model.config)

    def push(self, tokens: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            ids = torch.from_numpy(tokens)[None]
            output = self._model(ids, cache=self._cache, use_cache=True, logits_to_keep=1)
        logits: np.ndarray = output.logits[0, -1].numpy()
        return logits


class OfOnnxruntime:
    """A text that onnxruntime reads, which is given what it gave."""

    def __init__(self, network: onnxruntime.InferenceSession) -> None:
        self._network = network
        self._inputs = [given.name for given in network.get_inputs()]
        self._outputs = [given.name for given in network.get_outputs()]
        empty = np.zeros((1, CONFIG["num_key_value_heads"], 0, 64), np.float32)
        self._caches = [onnxruntime.OrtValue.ortvalue_from_numpy(empty)] * len(self._inputs[1:])

    def push(self, tokens: np.ndarray) -> np.ndarray:
        ids = onnxruntime.OrtValue.ortvalue_from_numpy(tokens[None])
        given = dict(zip(self._inputs, [ids, *self._caches], strict=True))
        logits, *self._caches = self._network.run_with_ort_values(self._outputs, given)
        found: np.ndarray = logits.numpy()[0, -1]
        return found


class OfWheel:
    """A text that tract's own wheel reads, after tract's transform for language models."""

    def __init__(self, file: Path) -> None:
        import tract

        model = tract.nnef().with_tract_transformers().load(file)
        model.transform("transformers_detect_all")
        self._state = model.into_runnable().spawn_state()

    def push(self, tokens: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._state.run([tokens[None]])[0].to_numpy()[0, -1]
        return logits


@pytest.fixture(scope="module")
def onnx(llama: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same inputs and outputs as an ONNX file."""
    module = CachedModel(llama, "last").eval()
    args = module.example(3, 4)
    past, new = Dim("P", min=0, max=2048), Dim("S", min=1, max=2048)
    program = torch.onnx.export(
        module,
        args,
        dynamo=True,
        input_names=module.input_names,
        output_names=module.output_names,
        dynamic_shapes=({1: new}, tuple({2: past} for _ in args[1:])),
        verbose=False,
    )
    assert program is not None
    path = tmp_path_factory.mktemp("onnx") / "llama.onnx"
    program.save(path)
    return path


def in_onnxruntime(file: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("threads", [1, 2])
def test_prompt_and_token(
    threads: int,
    report: Report,
    rounds: Callable[[int], int],
    llama: LlamaForCausalLM,
    files: dict[str, Path],
    onnx: Path,
) -> None:
    torch.set_num_threads(threads)
    models = {name: tt.load(file).causal(threads=threads) for name, file in files.items()}
    network = in_onnxruntime(onnx, threads)
    begin: dict[str, Callable[[], Any]] = {
        "torchtract": models["f32"].session,
        "torchtract, q4_0": models["q4_0"].session,
        "transformers": lambda: OfTransformers(llama),
        "onnxruntime": lambda: OfOnnxruntime(network),
    }
    if threads == 1:
        begin["tract"] = lambda: OfWheel(files["f32"])
    texts = {name: new() for name, new in begin.items()}
    logits = {name: text.push(TOKENS) for name, text in texts.items()}
    for name in logits.keys() - {"torchtract, q4_0"}:
        np.testing.assert_allclose(logits[name], logits["transformers"], rtol=1e-3, atol=1e-3)
    told = f"{threads} thread{'s' if threads > 1 else ''}"

    one = TOKENS[:1]  # each makes all texts longer alike
    seconds = race({name: partial(text.push, one) for name, text in texts.items()}, rounds(40))
    compare(report, f"a token after {PROMPT}, {told}", seconds)

    # tract's wheel has no other way to forget than to begin anew, which compiles.
    again = {name: new for name, new in begin.items() if name != "tract"}
    prompts = race({name: partial(read, new) for name, new in again.items()}, rounds(6))
    compare(report, f"a prompt of {PROMPT}, {told}", prompts)

    whole = race({name: partial(generate, new) for name, new in again.items()}, rounds(4))
    compare(report, f"a prompt and {NEW} tokens, {told}", whole)


def read(begin: Callable[[], Any]) -> None:
    begin().push(TOKENS)


def generate(begin: Callable[[], Any]) -> None:
    """The prompt, and greedily what follows it."""
    text = begin()
    logits = text.push(TOKENS)
    for _ in range(NEW):
        logits = text.push(np.array([logits.argmax()]))


def compare(report: Report, what: str, seconds: dict[str, Samples]) -> None:
    targets = {"transformers": 1.0, "onnxruntime": 1.0, "tract": 1.05}
    for name, target in targets.items():
        if name in seconds:
            report.add(Comparison(what, seconds["torchtract"], seconds[name], target=target))
    report.add(Comparison(what, seconds["torchtract, q4_0"], seconds["torchtract"]))


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
