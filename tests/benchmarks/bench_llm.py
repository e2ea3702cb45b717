"""A language model of 100 million parameters: prompts, tokens and memory, beside the peers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.export import Dim
from transformers import LlamaConfig, LlamaForCausalLM

import torchtract as tt
from benchmarks.llm_exporters import OURS, PEER, TORCH_TO_NNEF_LLM, export
from benchmarks.llm_runners import (
    OfLlamaCpp,
    OfOnnxruntime,
    OfTransformers,
    OfWheel,
    in_llama_cpp,
    in_onnxruntime,
)
from benchmarks.measure import Samples, alternate, race
from benchmarks.report import Comparison, Report
from benchmarks.tract_command import TRACT, Pace, llm_bench, pace_of
from llm.texts import trained_tokenizer, write_tokenizer
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
# In float32 prompts are faster with flash attention and tokens without; with a cache of float16,
# which is llama.cpp's default, both are faster with it.
LLAMA_CPP = {
    "llama.cpp": ("f32", False),
    "llama.cpp, flash attention": ("f32", True),
    "llama.cpp, q4_0": ("q4_0", True),
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


@pytest.fixture(scope="module")
def gguf(
    llama: LlamaForCausalLM, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The same for llama.cpp, and nothing where that is not installed: it has to be compiled."""
    if find_spec("llama_cpp") is None:
        report.note("llama.cpp is left out: llama-cpp-python is not installed")
        return {}
    from benchmarks.gguf_file import write_gguf

    folder = tmp_path_factory.mktemp("gguf")
    files = {name: folder / f"{name}.gguf" for name in ("f32", "q4_0")}
    for name, file in files.items():
        write_gguf(llama, file, q4_0=name == "q4_0")
    return files


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


@pytest.mark.parametrize("threads", [1, 2])
def test_prompt_and_token(
    threads: int,
    report: Report,
    rounds: Callable[[int], int],
    llama: LlamaForCausalLM,
    files: dict[str, Path],
    onnx: Path,
    gguf: dict[str, Path],
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
    for name, (form, flash) in LLAMA_CPP.items() if gguf else ():
        begin[name] = partial(
            OfLlamaCpp, in_llama_cpp(gguf[form], threads, flash, f32_cache=form == "f32")
        )
    texts = {name: new() for name, new in begin.items()}
    logits = {name: text.push(TOKENS) for name, text in texts.items()}
    for name in logits:
        if "q4_0" not in name:
            # Flash attention takes part of the products in float16.
            tolerance = 5e-3 if "flash" in name else 1e-3
            np.testing.assert_allclose(
                logits[name], logits["transformers"], rtol=tolerance, atol=tolerance
            )
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
    ours, small = "torchtract", "torchtract, q4_0"
    pairs: list[tuple[str, str, float | None]] = [
        (ours, "transformers", 1.0),
        (ours, "onnxruntime", 1.0),
        (ours, "tract", 1.05),
        (ours, "llama.cpp", None),
        (ours, "llama.cpp, flash attention", None),
        (small, ours, None),
        (small, "llama.cpp, q4_0", None),
    ]
    for name, peer, target in pairs:
        if peer in seconds:
            report.add(Comparison(what, seconds[name], seconds[peer], target=target))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", ["f32", "q4_0"])
def test_llm_bench(
    form: str, threads: int, report: Report, rounds: Callable[[int], int], files: dict[str, Path]
) -> None:
    """tract's own command for such files takes ours, and how fast it finds them."""
    if not TRACT.exists():
        pytest.skip("tract's command is not installed, which make bench does")
    model = tt.load(files[form]).causal(threads=threads)
    turns: dict[str, Callable[[], Pace]] = {
        "torchtract": partial(pace_of, model),
        "tract llm-bench": partial(llm_bench, files[form], threads),
    }
    paces = alternate(turns, rounds(5))
    told = f"{form}, {threads} thread{'s' if threads > 1 else ''}"
    ours, theirs = (paces[name] for name in turns)
    report.add(
        Comparison(
            f"a prompt of {PROMPT}, {told}",
            Samples("torchtract", [pace.prompt for pace in ours]),
            Samples("tract llm-bench", [pace.prompt for pace in theirs]),
        ),
        Comparison(
            f"each of the first {NEW} tokens, {told}",
            Samples("torchtract", [pace.token for pace in ours]),
            Samples("tract llm-bench", [pace.token for pace in theirs]),
            target=1.05,
        ),
    )


def test_size_of_the_file(report: Report, files: dict[str, Path]) -> None:
    small, large = (Samples(name, [files[name].stat().st_size / 1e6]) for name in ("q4_0", "f32"))
    report.add(Comparison("size of the file", small, large, unit="MB", target=1 / 4))


@pytest.fixture(scope="module")
def folder(llama: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as Hugging Face stores it, with some tokenizer."""
    path = tmp_path_factory.mktemp("hf")
    llama.save_pretrained(path, max_shard_size="100MB")
    write_tokenizer(trained_tokenizer(), path)
    return path


def test_export(report: Report, rounds: Callable[[int], int], folder: Path, tmp_path: Path) -> None:
    if not PEER.exists():
        pytest.skip("torch-to-nnef-llm is not installed, which make bench does")
    names = (OURS, TORCH_TO_NNEF_LLM)
    path = tmp_path / "exported"
    costs = alternate({name: partial(export, name, folder, path) for name in names}, rounds(3))
    seconds = [Samples(name, [cost.seconds for cost in costs[name]]) for name in names]
    peak = [Samples(name, [cost.peak_mb for cost in costs[name]]) for name in names]
    added = [Samples(name, [cost.added_mb for cost in costs[name]]) for name in names]
    report.add(
        Comparison("export of a language model", seconds[0], seconds[1]),
        Comparison("peak memory", peak[0], peak[1], unit="MB"),
        Comparison("of it by the export", added[0], added[1], unit="MB"),
    )


def test_memory_of_exporting(
    report: Report, llama: LlamaForCausalLM, folder: Path, tmp_path: Path
) -> None:
    """Beside the largest of the weights, of which one at a time is in memory."""
    weights = [weight.nbytes / 1e6 for weight in llama.parameters()]
    taken = Samples(OURS, [export(OURS, folder, tmp_path / "m").added_mb])
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
