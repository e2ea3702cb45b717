"""Tiny language models of many families, with weights that make them say different things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from transformers import PreTrainedModel

__all__ = ["ENCODER_DECODERS", "FAMILIES", "draw_weights", "tiny"]

_IDS = {"vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    **_IDS,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2}
_SLIDING = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
_LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_GPT_2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, **_IDS}
_GEMMA = {**_GROUPED, **_SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8}

#: By the name of its class of models, the arguments of its configuration.
FAMILIES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": _GPT_2,
    "GPTJForCausalLM": {**_GPT_2, "rotary_dim": 4},
    "OPTForCausalLM": {**_SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "BloomForCausalLM": {"hidden_size": 32, "n_layer": 2, "n_head": 4, **_IDS},
    # Cuts its mask from a buffer, as code by hand does.
    "GPTNeoForCausalLM": {
        **_SIZES,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "GPTNeoXForCausalLM": _SIZES,
    "LlamaForCausalLM": _GROUPED,
    "LlamaForCausalLM of version 3": {
        **_GROUPED,
        "rope_parameters": _LLAMA_3,
        "tie_word_embeddings": True,
    },
    "MistralForCausalLM": {**_GROUPED, "sliding_window": 8},
    "Qwen2ForCausalLM": _GROUPED,
    "Qwen3ForCausalLM": {**_GROUPED, "head_dim": 16},
    "Gemma2ForCausalLM": _GEMMA,
    "Gemma3ForCausalLM": _GEMMA,
    "PhiForCausalLM": _GROUPED,
    "Phi3ForCausalLM": _GROUPED,
    "SmolLM3ForCausalLM": {**_GROUPED, "no_rope_layers": [1, 0]},
    "OlmoForCausalLM": _GROUPED,
    "Olmo2ForCausalLM": _GROUPED,
    "FalconForCausalLM": _SIZES,
    # Takes views of what attention gives.
    "AfmoeForCausalLM": {**_GROUPED, **_EXPERTS, "head_dim": 8, "num_dense_layers": 1},
    # Takes slices of its values, of which tract would make slices of what came before.
    "DiffLlamaForCausalLM": _GROUPED,
    # Keeps keys and values compressed.
    "DeepseekV3ForCausalLM": {
        **_SIZES,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    "MixtralForCausalLM": {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen2MoeForCausalLM": {**_GROUPED, **_EXPERTS, "shared_expert_intermediate_size": 16},
    "GptOssForCausalLM": {
        **_GROUPED,
        **_SLIDING,
        "head_dim": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}

_T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 24,
    "decoder_start_token_id": 0,
    **_IDS,
}
_BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 96,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
    **_IDS,
}

#: Those that answer a text, as FAMILIES.
ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "T5ForConditionalGeneration": _T5,
    "T5ForConditionalGeneration of version 1.1": {
        **_T5,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
    "MT5ForConditionalGeneration": {**_T5, "feed_forward_proj": "gated-gelu"},
    "UMT5ForConditionalGeneration": _T5,
    "BartForConditionalGeneration": _BART,
    "MBartForConditionalGeneration": _BART,
    "MarianMTModel": _BART,
    "PegasusForConditionalGeneration": _BART,
    "M2M100ForConditionalGeneration": _BART,
    "BlenderbotSmallForConditionalGeneration": _BART,
}


def tiny(family: str, **changes: Any) -> PreTrainedModel:
    """A model of a family, random but always the same, with some of its configuration changed."""
    build: Callable[..., PreTrainedModel] = getattr(hf, family.partition(" ")[0])
    settings = (FAMILIES | ENCODER_DECODERS)[family] | changes
    config = build.config_class(**settings)  # type: ignore[attr-defined]
    torch.manual_seed(0)
    model = build(config)
    draw_weights(model, 0.5)
    model.eval()
    return model


def draw_weights(model: torch.nn.Module, spread: float) -> None:
    """Give a model random weights that make it say different things."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Small embeddings: a tied one would have each token say itself.
            embeds = any(part in name for part in ("embed", "wte", "shared"))
            mean = 1.0 if weight.ndim == 1 and "bias" not in name else 0.0
            weight.normal_(mean, min(spread, 0.05) if embeds else spread)
