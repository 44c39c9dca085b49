"""Keys of config.json that change no parameter, no FLOP and no byte."""

from __future__ import annotations

import re

#: Endings that tell enough: numerics, randomness, tokens, activations, position encoding, scale factors.
_ENDINGS = """
    _act _activation _activation_function _alpha _beta _capacity _class _coef _coeff _dropout _dropout_prob _dtype
    _eager _eps _epsilon _factor _floor _fn _fp32 _func _function _gamma _id _ids _impl _jit _jitter_eps
    _jitter_noise _length_penalty _limit _max _method _min _multiplier _path _pdrop _prob _range _scale _scaling
    _scaling_factor _softcapping _std _temperature _theta _token _token_index _version _warmup _weight
"""
#: Beginnings: keys of one concern, whatever their end.
_BEGINNINGS = """
    _ alibi apply_ attn_config.alibi attn_config.attn_ attn_config.clip attn_config.model attn_config.prefix
    attn_config.rope attn_config.softmax audio_ auto_ aux_loss bf16 boi_ chunk_size compression do_sample dropout
    eoi_ ffn_config.ffn_act ffn_config.ffn_type ffn_config.model ffn_config.moe_ fp16 fp32 id2label image_
    inference_ init_ initializer_ is_ kv_cache label2id layerdrop logit mamba_chunk mamba_conv mamba_hidden
    mamba_proj max_batch mm_tokens mtp_ mup no_repeat norm_topk normalization num_beams output_ pad_key
    post_attention_ pre_allocate pre_seq prefix pretraining_ quantization repetition_ rope rotary routed_ router_
    scale_ scoring_ summary_ task_ temperature time_step tokenizer top_k top_p topk_ torch_ transformers_ use_cache
    use_conv use_dynamic use_flash use_logn use_mamba use_mrope use_mtp validate_ video_ vision_ yarn
"""
#: Whole keys.
_KEYS = """
    activation architectures attention_multiplier attention_softmax_in_fp32 bias_dropout_fusion cache_implementation
    calc_logits_for_entire_prompt clip_qkv do_layer_norm_before dtype emb_pdrop embedding_fraction ep_size expand
    finetuning_task full_attn_mod gradient_checkpointing hidden_activation hybrid_override_pattern
    initial_context_length intermediate_size interpolate_factor layer_types license mamba_expand mamba_num_groups
    mamba_state_dim masked_softmax_fusion max_length max_window_layers min_length model_name model_type
    multimodal_projector_bias n_ctx n_group n_special name no_bias no_rope_layer_interval no_rope_layers norm_type
    num_labels num_logits_to_keep num_query_groups onnx_safe original_max_position_embeddings original_rope
    partial_rotary_factor position_embedding_type post_layer_norm predict_special_tokens problem_type pruned_heads
    qk_norm_type query_pre_attn_scalar reorder_and_upcast_attn rescale_prenorm_residual residual_in_fp32 return_dict
    rotary_pct sep_token_id seq_aux seq_length shared_intermediate_size slow_but_exact spatial_merge_size
    swiglu_limit tie_encoder_decoder tie_weights_keys typical_p use_pos_enc use_return_dict use_sliding_window
    verbose
"""
_HARMLESS = re.compile(
    f"(?:{'|'.join(map(re.escape, _KEYS.split()))})"
    f"|(?:{'|'.join(map(re.escape, _BEGINNINGS.split()))}).*"
    f"|.*(?:{'|'.join(map(re.escape, _ENDINGS.split()))})"
)


def harmless(key: str) -> bool:
    """Tell whether a key is known to change no size.

    >>> harmless("rope_theta"), harmless("eos_token_id"), harmless("altup_num_inputs")
    (True, True, False)
    """
    return len(key) < 120 and _HARMLESS.fullmatch(key) is not None
