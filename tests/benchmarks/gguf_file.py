"""A Llama of transformers as a GGUF file, which llama.cpp reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import (
    MODEL_ARCH,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
)
from gguf.quants import quantize
from transformers import LlamaForCausalLM

__all__ = ["write_gguf"]


def write_gguf(model: LlamaForCausalLM, path: Path, q4_0: bool) -> None:
    """Write a model without a tokenizer.

    Args:
        model: of float32, its embeddings tied.
        path: of the file.
        q4_0: store the weights in blocks of four bits, all but those of the norms.
    """
    config: Any = model.config  # its fields may be None, but those of a Llama aren't
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[MODEL_ARCH.LLAMA])
    _add_sizes(writer, config)
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_0 if q4_0 else LlamaFileType.ALL_F32)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    # Of tied weights only the first is among the parameters, and llama.cpp asks for no other.
    for name, parameter in model.named_parameters():
        weight = parameter.detach().numpy()
        if "q_proj" in name:
            weight = _interleaved(weight, config.num_attention_heads)
        elif "k_proj" in name:
            weight = _interleaved(weight, config.num_key_value_heads)
        form = GGMLQuantizationType.Q4_0 if q4_0 and weight.ndim > 1 else GGMLQuantizationType.F32
        stored = names.get_name(name, try_suffixes=(".weight",))
        assert stored is not None, name
        writer.add_tensor(stored, quantize(weight, form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys as llama.cpp turns them: each one beside its partner.

    In transformers its partner is half a head away.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
