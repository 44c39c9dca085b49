"""The families of models that the importer knows. To add one, add one entry here; nothing else changes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from perfmodel.importers import special
from perfmodel.importers.family import Family

UNTIED: dict[str, Any] = {"tied_embeddings": False}
TIED: dict[str, Any] = {"tied_embeddings": True}
#: Plain two-matrix FFN, LayerNorm, a bias everywhere: the decoders of 2019 to 2022.
BIASED: dict[str, Any] = {"gated": False, "qkv_bias": True, "o_bias": True, "ffn_bias": True, "norm_bias": True}
GATED: dict[str, Any] = {"gated": True}
GEMMA: dict[str, Any] = GATED | TIED
QKV_ONLY = {"attention_bias": ("qkv_bias",)}
INPUT_BIAS = {"bias": ("qkv_bias", "o_bias")}
INDEXER = {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048}
LINEAR = {
    "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
    "linear_num_value_heads": 32, "linear_value_head_dim": 128,
}  # fmt: skip


def _sizes(*values: int) -> dict[str, Any]:
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return dict(zip(names, values, strict=False))


FAMILIES: tuple[Family, ...] = (
    Family("Llama", ("llama", "yi", "seed_oss"), GATED | UNTIED, sizes=_sizes(32000, 4096, 11008, 32, 32)),
    Family(
        "Mistral", ("mistral",), GATED | UNTIED,
        defaults={"sliding_window": 4096, "num_key_value_heads": 8}, sizes=_sizes(32000, 4096, 14336, 32, 32),
    ),
    Family("Ministral 3", ("ministral3", "ministral"), GATED | UNTIED, defaults={"num_key_value_heads": 8}),
    Family(
        "Mixtral", ("mixtral",), GATED | UNTIED,
        defaults={"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    ),
    Family("Qwen", ("qwen",), GATED | UNTIED | {"qkv_bias": True}, read=special.qwen1),
    Family(
        "Qwen2", ("qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"),
        GATED | UNTIED | {"qkv_bias": True},
        defaults={"use_sliding_window": False, "max_window_layers": 28},
    ),
    Family(
        "Qwen2 MoE", ("qwen2_moe",), GATED | UNTIED | {"qkv_bias": True, "shared_gate": True},
        defaults={"use_sliding_window": False, "max_window_layers": 28},
    ),
    Family(
        "Qwen3", ("qwen3", "qwen3_moe", "qwen3_vl", "qwen3_vl_text", "qwen3_vl_moe", "qwen3_vl_moe_text"),
        GATED | UNTIED | {"qk_norm": "head"},
        defaults={"use_sliding_window": False, "max_window_layers": 28, "head_dim": 128},
    ),
    Family(
        "Qwen3-Next", ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
        GATED | UNTIED | {"qk_norm": "head", "output_gate": True, "shared_gate": True},
        defaults=LINEAR | {"head_dim": 256, "use_sliding_window": False},
    ),
    Family("DeepSeek MoE", ("deepseek",), GATED | UNTIED),
    Family("DeepSeek V2", ("deepseek_v2", "deepseek_vl_v2"), GATED | UNTIED),
    Family("DeepSeek V3", ("deepseek_v3", "kimi_k2", "kimi_k25"), GATED | UNTIED | {"router_bias": True}),
    Family("DeepSeek V3.2", ("deepseek_v32",), GATED | UNTIED | {"router_bias": True}, defaults=INDEXER),
    Family("GLM-5", ("glm_moe_dsa",), GATED | UNTIED | {"router_bias": True}, defaults=INDEXER | {"index_n_heads": 32}),
    Family("GLM-4.7 Flash", ("glm4_moe_lite",), GATED | UNTIED | {"router_bias": True}),
    Family("GLM-4.5", ("glm4_moe", "glm4v_moe_text"), GATED | UNTIED | {"router_bias": True}, flags=QKV_ONLY),
    Family("GLM-4", ("glm",), GATED | UNTIED, flags=QKV_ONLY),
    Family("GLM-4-0414", ("glm4", "glm4v_text"), GATED | UNTIED | {"layer_norms": 4}, flags=QKV_ONLY),
    Family(
        "ChatGLM", ("chatglm",), GATED | UNTIED, read=special.chatglm,
        flags={"add_bias_linear": ("qkv_bias", "o_bias", "ffn_bias")},
    ),
    Family("Gemma", ("gemma",), GEMMA, defaults={"head_dim": 256, "max_position_embeddings": 8192}),
    Family(
        "Gemma 2", ("gemma2",), GEMMA | {"layer_norms": 4}, mixers="LG",
        defaults={"sliding_window": 4096, "head_dim": 256, "max_position_embeddings": 8192},
    ),
    Family(
        "Gemma 3", ("gemma3_text", "gemma3"), GEMMA | {"layer_norms": 4, "qk_norm": "head"},
        defaults={"sliding_window": 4096, "sliding_window_pattern": 6},
        sizes=_sizes(262208, 2304, 9216, 26, 8) | {"num_key_value_heads": 4, "head_dim": 256},
    ),
    Family(
        "Phi", ("phi", "phi_msft", "mixformer_sequential"),
        BIASED | UNTIED | {"head_bias": True, "layer_norms": 1, "parallel_block": True}, ffn_times=4,
    ),
    Family("Phi-3 and Phi-4", ("phi3", "phi4mm", "phi3_v"), GATED | UNTIED),
    Family("Phi-3.5 MoE", ("phimoe",), GATED | UNTIED | {"norm_bias": True}),
    Family("GPT-2", ("gpt2",), BIASED | TIED, positions=0, ffn_times=4, defaults={"n_positions": 1024}),
    Family(
        "GPT-Neo", ("gpt_neo",), BIASED | TIED | {"qkv_bias": False}, positions=0, ffn_times=4, read=special.gpt_neo,
    ),
    Family("GPT-NeoX", ("gpt_neox",), BIASED | UNTIED | {"parallel_block": True}),
    Family(
        "GPT-J", ("gptj",), ffn_times=4, built=BIASED | UNTIED
        | {"qkv_bias": False, "o_bias": False, "head_bias": True, "layer_norms": 1, "parallel_block": True},
    ),
    Family("StarCoder", ("gpt_bigcode",), BIASED | TIED, positions=0, ffn_times=4, read=special.bigcode),
    Family("StarCoder2", ("starcoder2",), BIASED | TIED),
    Family(
        "Falcon", ("falcon", "refinedwebmodel"), {"gated": False, "norm_bias": True} | UNTIED, ffn_times=4,
        defaults={"max_position_embeddings": 2048}, read=special.falcon,
    ),
    Family(
        "Falcon 40B (first release)", ("refinedweb",), {"gated": False, "norm_bias": True} | UNTIED, ffn_times=4,
        defaults={"max_position_embeddings": 2048, "new_decoder_architecture": True}, read=special.falcon,
    ),
    Family("OPT", ("opt",), BIASED | TIED, positions=2, read=special.opt),
    Family(
        "BLOOM", ("bloom",), BIASED | TIED | {"embedding_norm": True}, ffn_times=4, defaults={"seq_length": 2048},
    ),
    Family(
        "MPT", ("mpt",), {"gated": False} | TIED, ffn_times=4, defaults={"no_bias": True}, qk="full", read=special.mpt,
    ),
    Family("DBRX", ("dbrx",), GATED | UNTIED),
    Family(
        "gpt-oss", ("gpt_oss",), mixers="LG", defaults={"sliding_window": 128},
        built=GATED | UNTIED | {"qkv_bias": True, "o_bias": True, "ffn_bias": True, "router_bias": True, "sinks": True},
    ),
    Family(
        "Llama 4", ("llama4_text", "llama4"), GATED | UNTIED, read=special.llama4,
        defaults={"attention_chunk_size": 8192, "no_rope_layer_interval": 4, "interleave_moe_layer_step": 1},
    ),
    Family(
        "Jamba", ("jamba",), GATED | UNTIED, state="M", read=special.jamba,
        defaults={
            "attn_layer_period": 8, "attn_layer_offset": 4, "expert_layer_period": 2, "expert_layer_offset": 1,
            "mamba_expand": 2, "mamba_d_state": 16, "mamba_d_conv": 4,
        },
    ),
    Family("Nemotron", ("nemotron",), {"gated": False, "norm_bias": True} | UNTIED),
    Family(
        "Nemotron-H", ("nemotron_h",), {"gated": False} | UNTIED, read=special.nemotron_h, defaults={"conv_kernel": 4},
        flags={"use_bias": (), "attention_bias": ("qkv_bias", "o_bias")},
    ),
    Family("MiniMax-M2", ("minimax_m2",), GATED | UNTIED, qk="full"),
    Family("MiniMax-01", ("minimax", "minimax_text_01", "minimax_m1"), GATED | UNTIED, read=special.lightning),
    Family(
        "Command R", ("cohere",), GATED | TIED | {"layer_norms": 1, "parallel_block": True},
        qk="full", read=special.cohere,
    ),
    Family(
        "Command R7B and A", ("cohere2",), GATED | TIED | {"layer_norms": 1, "parallel_block": True}, mixers="LLLG",
        defaults={"sliding_window": 4096},
    ),
    Family("StableLM", ("stablelm", "stablelm_epoch"), GATED | UNTIED | {"norm_bias": True}),
    Family("InternLM", ("internlm",), GATED | UNTIED | {"qkv_bias": True, "o_bias": True}, flags=INPUT_BIAS),
    Family("InternLM2", ("internlm2",), GATED | UNTIED, flags=INPUT_BIAS),
    Family("Baichuan", ("baichuan",), GATED | UNTIED),
    Family("OLMo 2 and 3", ("olmo2", "olmo3", "olmoe"), GATED | UNTIED | {"qk_norm": "full"}),
    Family("Granite", ("granite", "granitemoe"), GATED | TIED),
    Family("Granite 4", ("granitemoehybrid",), GATED | TIED, read=special.granite4),
)  # fmt: skip

#: What the fields alone tell. transformers ties the embeddings of whatever does not say otherwise.
UNKNOWN = Family("a family that is not known here", (), TIED, read=special.by_fields)

#: Kinds of model that cannot be expressed as a decoder of `Dimensions`, and why.
UNSUPPORTED = (
    {
        "falcon_h1": "attention and state space run side by side in one layer",
        "zamba": "layers share their weights",
        "zamba2": "layers share their weights",
        "nemotron_nas": "every layer has sizes of its own (block_configs)",
        "deci": "every layer has sizes of its own",
        "openelm": "every layer has sizes of its own",
        "rwkv": "its recurrence is not modelled",
        "mamba": "it has no feed-forward or attention layers; give its dimensions by hand",
        "mamba2": "it has no feed-forward or attention layers; give its dimensions by hand",
    }
    | dict.fromkeys(
        ("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian", "whisper", "m2m_100", "t5gemma"),
        "an encoder and a decoder; only decoders are modelled",
    )
    | dict.fromkeys(
        (
            "bert",
            "roberta",
            "xlm_roberta",
            "deberta",
            "deberta_v2",
            "distilbert",
            "electra",
            "albert",
            "modernbert",
            "vit",
            "clip",
        ),
        "an encoder; only decoders are modelled",
    )
)


def normal(model_type: str) -> str:
    """Return a model_type as the registry writes it.

    >>> normal("phi-msft"), normal("RefinedWeb")
    ('phi_msft', 'refinedweb')
    """
    return model_type.strip().lower().replace("-", "_").replace(".", "_")


@lru_cache(maxsize=1)
def by_type() -> dict[str, Family]:
    """Return the families by model_type, and by the same without underscores as class names have it."""
    named = {kind: family for family in FAMILIES for kind in family.types}
    return {kind.replace("_", ""): family for kind, family in named.items()} | named
