"""Decoders of text without a cache, and models that encode and decode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.cases import ModelCase
from models.transformers_cases import SMALL, case, masked, text_case, tokens

__all__ = ["DECODERS", "ENCODER_DECODERS"]

_GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8}
_GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_positions": 64}
_EXPERTS: dict[str, Any] = {
    **_GROUPED,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "decoder_sparse_step": 1,
}
_STATE: dict[str, Any] = {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 2}
_SLIDING: dict[str, Any] = {**_GROUPED, "sliding_window": 4}

#: Sizes of each decoder that are called otherwise than in most, or are needed besides.
_DECODERS: dict[str, dict[str, Any]] = {
    "GPT2Model": _GPT,
    "GPT2LMHeadModel": _GPT,
    "GPTNeoModel": {
        "num_layers": 2,
        "num_heads": 4,
        "window_size": 4,
        "attention_types": [[["global", "local"], 1]],
    },
    "GPTNeoXModel": {},
    "GPTNeoXJapaneseModel": {"intermediate_multiple_size": 2},
    "GPTJModel": {**_GPT, "rotary_dim": 4},
    "GPTBigCodeModel": _GPT,
    "CodeGenModel": {**_GPT, "rotary_dim": 4},
    "OpenAIGPTModel": _GPT,
    "CTRLModel": {**_GPT, "dff": 48},
    "ImageGPTModel": _GPT,
    "OPTModel": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "BloomModel": {"n_layer": 2, "n_head": 4},
    "XGLMModel": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48},
    "BioGptModel": {},
    "LlamaModel": _GROUPED,
    "LlamaForCausalLM": _GROUPED,
    "MistralModel": _SLIDING,
    "MinistralModel": _SLIDING,
    "Qwen2Model": _GROUPED,
    "Qwen2ForSequenceClassification": _GROUPED,
    "Qwen3Model": _GROUPED,
    "GemmaModel": _GROUPED,
    "Gemma2Model": _SLIDING,
    "Gemma3TextModel": _SLIDING,
    "Gemma3nTextModel": {
        **_SLIDING,
        "vocab_size_per_layer_input": 100,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 4,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": None,
        "layer_types": ["sliding_attention", "full_attention"],
        "altup_num_inputs": 2,
    },
    "PhiModel": {},
    "Phi3Model": _GROUPED,
    "FalconModel": {"num_kv_heads": 2},
    "FalconModel, with ALiBi": {"alibi": True},
    "FalconH1Model": {**_STATE, **_GROUPED},
    "OlmoModel": _GROUPED,
    "Olmo2Model": _GROUPED,
    "Olmo3Model": _SLIDING,
    "SmolLM3Model": _GROUPED,
    "StableLmModel": _GROUPED,
    "Starcoder2Model": _SLIDING,
    "CohereModel": _GROUPED,
    "Cohere2Model": _SLIDING,
    "GraniteModel": _GROUPED,
    "HeliumModel": _GROUPED,
    "GlmModel": _GROUPED,
    "Glm4Model": _GROUPED,
    "NemotronModel": _GROUPED,
    "PersimmonModel": _GROUPED,
    "MptModel": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64},
    "DiffLlamaModel": _GROUPED,
    "Ernie4_5Model": _GROUPED,
    "Exaone4Model": _SLIDING,
    "ArceeModel": _GROUPED,
    "SeedOssModel": _GROUPED,
    "BitNetModel": _GROUPED,
    "ApertusModel": _GROUPED,
    "HunYuanDenseV1Model": _GROUPED,
    "Lfm2Model": {**_GROUPED, "layer_types": ["conv", "full_attention"]},
    "MixtralModel": _EXPERTS,
    "Qwen2MoeModel": _EXPERTS,
    "Qwen3MoeModel": _EXPERTS,
    "OlmoeModel": _EXPERTS,
    "PhimoeModel": _EXPERTS,
    "GptOssModel": {**_EXPERTS, "sliding_window": 4},
    "GraniteMoeModel": _EXPERTS,
    "JetMoeModel": {**_EXPERTS, "kv_channels": 8},
    "DeepseekV3Model": {
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "first_k_dense_replace": 1,
    },
    "MambaModel": _STATE,
    "Mamba2Model": {**_STATE, "chunk_size": 4},
    "FalconMambaModel": _STATE,
    "RwkvModel": {"attention_hidden_size": 32},
    "RecurrentGemmaModel": {"lru_width": 32, "attention_window_size": 4},
}

#: Models that leave the mask out where there is one token, as when they decode with a cache.
_OF_TWO = frozenset({"FalconH1Model", "Lfm2Model"})

#: Models that take no mask of their inputs, or do nothing with one.
_WITHOUT_MASK = frozenset({"RwkvModel", "ImageGPTModel"})

_TWO_STACKS: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "decoder_start_token_id": 0,
}
_T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}

_ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "T5Model": _T5,
    "T5ForConditionalGeneration": _T5,
    "MT5Model": {**_T5, "feed_forward_proj": "gated-gelu"},
    "UMT5Model": _T5,
    "SwitchTransformersModel": {**_T5, "num_experts": 4, "num_sparse_encoder_layers": 1},
    "LongT5Model": {**_T5, "local_radius": 3, "encoder_attention_type": "local"},
    "BartModel": _TWO_STACKS,
    "BartForConditionalGeneration": _TWO_STACKS,
    "MBartModel": _TWO_STACKS,
    "MarianModel": _TWO_STACKS,
    "MarianMTModel": _TWO_STACKS,
    "PegasusModel": _TWO_STACKS,
    "PegasusXModel": {**_TWO_STACKS, "block_size": 4, "num_global_tokens": 2},
    "BlenderbotModel": _TWO_STACKS,
    "BlenderbotSmallModel": _TWO_STACKS,
    "M2M100Model": _TWO_STACKS,
    "PLBartModel": _TWO_STACKS,
    "LEDModel": {**_TWO_STACKS, "attention_window": 4, "max_encoder_position_embeddings": 64},
    "MvpModel": _TWO_STACKS,
    "ProphetNetModel": {
        "num_hidden_layers": ...,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "num_encoder_attention_heads": 4,
        "num_decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "decoder_start_token_id": 0,
        "ngram": 2,
        "num_buckets": 8,
        "relative_max_distance": 16,
    },
}


def _encoder_decoder(model: str, config: Mapping[str, Any]) -> ModelCase:
    """A text with padding, of length S, and what was made of it until now, of length T."""

    def inputs(B: int, S: int, T: int) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        return {**masked(B, S), "decoder_input_ids": tokens(B, T)}

    source = {0: "B", 1: "S"}
    return case(
        model,
        {**SMALL, **config},
        inputs,
        axes={
            "input_ids": source,
            "attention_mask": source,
            "decoder_input_ids": {0: "B", 1: "T"},
        },
        traced={"B": 2, "S": 9, "T": 6},
        sizes=({"B": 1, "S": 5, "T": 2}, {"B": 3, "S": 12, "T": 16}),
        assertions=tuple(
            f"tract_assert {text}" for text in ("B >= 1", "S >= 1", "S <= 60", "T >= 2", "T <= 60")
        ),
    )


DECODERS = [
    text_case(
        name,
        config,
        mask=name not in _WITHOUT_MASK,
        shortest=2 if name in _OF_TWO else 1,
    )
    for name, config in _DECODERS.items()
]
ENCODER_DECODERS = [_encoder_decoder(name, config) for name, config in _ENCODER_DECODERS.items()]
