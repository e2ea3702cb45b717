"""Encoders of text."""

from __future__ import annotations

from typing import Any

from models.transformers_cases import text_case

__all__ = ["TEXT"]

#: Sizes of each encoder that are called otherwise than in most, or are needed besides.
_ENCODERS: dict[str, dict[str, Any]] = {
    "BertModel": {},
    "RobertaModel": {},
    "XLMRobertaModel": {},
    "XLMRobertaXLModel": {},
    "CamembertModel": {},
    "RobertaPreLayerNormModel": {},
    "DistilBertModel": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "DebertaModel": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "max_relative_positions": 16,
    },
    "DebertaV2Model": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    },
    "ElectraModel": {"embedding_size": 24},
    "AlbertModel": {"embedding_size": 24},
    "MPNetModel": {},
    "T5EncoderModel": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
    "UMT5EncoderModel": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
    "MT5EncoderModel": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
    },
    "FNetModel": {},
    "FunnelModel": {
        "d_model": 32,
        "d_inner": 48,
        "n_head": 4,
        "d_head": 8,
        "num_hidden_layers": ...,
        "block_sizes": [1, 1],
        "num_decoder_layers": 1,
    },
    "FunnelBaseModel": {
        "d_model": 32,
        "d_inner": 48,
        "n_head": 4,
        "d_head": 8,
        "num_hidden_layers": ...,
        "block_sizes": [1, 1, 1],
        "num_decoder_layers": 1,
    },
    "ConvBertModel": {"embedding_size": 32, "conv_kernel_size": 3},
    "SqueezeBertModel": {"embedding_size": 32},
    "MobileBertModel": {"embedding_size": 24, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "LongformerModel": {"attention_window": 4},
    "BigBirdModel": {"attention_type": "original_full"},
    "ModernBertModel": {"local_attention": 4, "cls_token_id": 3, "sep_token_id": 4},
    "NystromformerModel": {"num_landmarks": 4, "segment_means_seq_len": 4, "conv_kernel_size": 5},
    "RoFormerModel": {"embedding_size": 32},
    "XLNetModel": {
        "d_model": 32,
        "n_layer": 2,
        "n_head": 4,
        "d_inner": 48,
        "max_position_embeddings": ...,
    },
    "XLMModel": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "pad_index": 1},
    "FlaubertModel": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "pad_index": 1},
    "IBertModel": {},
    "MegatronBertModel": {},
    "ErnieModel": {},
    "RemBertModel": {"input_embedding_size": 24, "output_embedding_size": 24},
    "YosoModel": {},
    "CanineModel": {
        "downsampling_rate": 4,
        "local_transformer_stride": 8,
        "num_hash_buckets": 20,
        "num_hash_functions": 4,
    },
    "LayoutLMModel": {},
    "EsmModel": {"mask_token_id": 3, "position_embedding_type": "rotary"},
    "NomicBertModel": {},
    "JinaEmbeddingsV3Model": {},
    "EuroBertModel": {},
    "SplinterModel": {},
    "MraModel": {},
    "DPRQuestionEncoder": {},
    "Data2VecTextModel": {},
    "XmodModel": {"languages": ["en_XX"], "default_language": "en_XX"},
    "BertForSequenceClassification": {},
    "BertForTokenClassification": {},
    "BertForQuestionAnswering": {},
    "BertForMaskedLM": {},
    "RobertaForSequenceClassification": {},
    "DistilBertForSequenceClassification": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
    },
}

#: Models whose forward takes no mask.
_WITHOUT_MASK = frozenset({"FNetModel"})


TEXT = [
    text_case(model, config, mask=model not in _WITHOUT_MASK) for model, config in _ENCODERS.items()
]
