"""Texts that a language model reads, each in another program: `push` gives what follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch
from transformers import DynamicCache, LlamaForCausalLM

if TYPE_CHECKING:
    from llama_cpp import Llama

__all__ = [
    "OfLlamaCpp",
    "OfOnnxruntime",
    "OfTransformers",
    "OfWheel",
    "in_llama_cpp",
    "in_onnxruntime",
]


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
        ids, *caches = network.get_inputs()
        self._inputs = [ids.name, *(cache.name for cache in caches)]
        self._outputs = [given.name for given in network.get_outputs()]
        # The size that is free is that of the past.
        empty = [[size if isinstance(size, int) else 0 for size in cache.shape] for cache in caches]
        self._caches = [
            onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)) for shape in empty
        ]

    def push(self, tokens: np.ndarray) -> np.ndarray:
        ids = onnxruntime.OrtValue.ortvalue_from_numpy(tokens[None])
        given = dict(zip(self._inputs, [ids, *self._caches], strict=True))
        logits, *self._caches = self._network.run_with_ort_values(self._outputs, given)
        found: np.ndarray = logits.numpy()[0, -1]
        return found


def in_onnxruntime(file: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


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


class OfLlamaCpp:
    """A text that llama.cpp reads. A model has one at a time: a new one ends that before."""

    def __init__(self, model: Llama) -> None:
        self._model = model
        model.reset()

    def push(self, tokens: np.ndarray) -> np.ndarray:
        from llama_cpp import llama_get_logits_ith

        self._model.eval(tokens.tolist())
        logits = llama_get_logits_ith(self._model.ctx, -1)
        # The next text is written to the same place.
        return np.ctypeslib.as_array(logits, (self._model.n_vocab(),)).copy()


def in_llama_cpp(file: Path, threads: int, flash_attention: bool, f32_cache: bool) -> Llama:
    """A model in llama.cpp, with as much room for a text as the others have.

    Args:
        file: `.gguf`.
        threads: for prompts and for single tokens.
        flash_attention: whether attention is computed in blocks, in part with float16.
        f32_cache: whether keys and values are kept as float32, and not as float16.
    """
    from llama_cpp import GGML_TYPE_F16, GGML_TYPE_F32, Llama

    cache = GGML_TYPE_F32 if f32_cache else GGML_TYPE_F16
    return Llama(
        str(file),
        n_ctx=2048,
        n_batch=512,
        n_ubatch=512,
        n_threads=threads,
        n_threads_batch=threads,
        flash_attn=flash_attention,
        type_k=cache,
        type_v=cache,
        verbose=False,
    )
