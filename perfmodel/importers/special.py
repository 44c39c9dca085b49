"""What single families say in a way of their own. Each function reads that and leaves the rest to the common parts."""

from __future__ import annotations

from perfmodel.importers.layers import EXPERTS, period
from perfmodel.importers.parts import FFN, HEADS, HIDDEN, KV_HEADS, LAYERS
from perfmodel.importers.reader import Reader, bounds, in_range
from perfmodel.importers.text import shown


def falcon(r: Reader) -> None:
    """Falcon: MQA, or GQA in the new architecture; one or two norms before parallel blocks; it may have biases."""
    new = r.flag("new_decoder_architecture") or r.family.name == "Falcon 40B (first release)"
    multi_query = r.flag("multi_query") is not False
    if new:
        r.assume("parallel_block", True, "Falcon's new architecture: attention and FFN read the same input")
    elif multi_query:
        r.find(*KV_HEADS)
        r.put("kv_heads", 1, "multi_query")
    parallel = r.flag("parallel_attn") is not False or bool(new)
    r.put("parallel_block", parallel, "parallel_attn")
    norms = r.number(1, 2, "num_ln_in_parallel_attn")
    if norms:
        r.put("layer_norms", norms.value, norms.key)
    elif parallel and not new:
        r.assume("layer_norms", 1, "Falcon's parallel block: one norm feeds attention and FFN")
    r.note("Falcon's checkpoints store the LM head beside the embedding; engines may share one copy")


def bigcode(r: Reader) -> None:
    """StarCoder: one KV head for all unless multi_query is false."""
    if r.flag("multi_query") is not False:
        r.put("kv_heads", 1, "multi_query")


def chatglm(r: Reader) -> None:
    """ChatGLM: groups of queries only where multi_query_attention is on; RMSNorm by a flag; a padded vocabulary."""
    r.whole("vocab", "padded_vocab_size")
    if not r.flag("multi_query_attention"):
        r.find(*KV_HEADS)
        r.put("kv_heads", r.need("heads", *HEADS), "multi_query_attention")
    if r.flag("rmsnorm") is not None:
        r.put("norm_bias", not r.flag("rmsnorm"), "rmsnorm")


def mpt(r: Reader) -> None:
    """MPT: inner width as a ratio, one key against all biases, positions learned only without ALiBi and RoPE."""
    ratio = r.number(1, 64, "expansion_ratio")
    if ratio and not any(key in r.table for key in FFN):
        why = "expansion_ratio x d_model"
        r.put("ffn", in_range("ffn", ratio.value * r.need("hidden", *HIDDEN), why), why)
    bias = r.flag("no_bias") is False
    for name in ("qkv_bias", "o_bias", "ffn_bias", "norm_bias"):
        r.put(name, bias, "no_bias")
    if r.text("attn_config.attn_type") == "multiquery_attention":
        r.put("kv_heads", 1, "attn_config.attn_type")
    if r.flag("learned_pos_emb") and not r.flag("attn_config.alibi") and not r.flag("attn_config.rope"):
        r.put("position_rows", r.need("max_context", "max_seq_len"), "learned_pos_emb")


def opt(r: Reader) -> None:
    """OPT: its smallest sibling narrows the embedding, which cannot be expressed."""
    narrow = r.number(1, bounds("hidden")[1], "word_embed_proj_dim")
    if narrow and narrow.value != r.need("hidden", *HIDDEN):
        raise ValueError(
            f"word_embed_proj_dim={narrow.value} differs from hidden_size={r.values['hidden']}; "
            "an embedding narrower than the model cannot be expressed here"
        )


def qwen1(r: Reader) -> None:
    """Qwen (first generation): intermediate_size counts gate and up together."""
    both = r.number(2, bounds("ffn")[1], "intermediate_size")
    if both:
        r.put("ffn", both.value // 2, "intermediate_size / 2")
    r.flag("no_bias")


def gpt_neo(r: Reader) -> None:
    """GPT-Neo: kinds of attention as a list of patterns with counts."""
    layers = r.need("layers", *LAYERS)
    listed = r.find("attention_types")
    r.find("attention_layers")
    if listed is None:
        return
    codes = ""
    for item in listed.value if isinstance(listed.value, list) else [None]:
        kinds, times = item if isinstance(item, list) and len(item) == 2 else (None, None)
        if not isinstance(kinds, list) or type(times) is not int or not 0 <= times <= layers or len(kinds) > layers:
            raise ValueError(f"attention_types={shown(listed.value)} is not allowed: [[[kinds], times], ...] is needed")
        codes += "".join("L" if kind == "local" else "G" for kind in kinds) * times
        if len(codes) > layers:
            break
    if len(codes) != layers:
        raise ValueError(f"attention_types describes {len(codes)} layers, but the model has {layers}")
    r.put("mixers", period(codes), "attention_types")


def llama4(r: Reader) -> None:
    """Llama 4: chunked attention with RoPE, global without; a shared expert as wide as a routed one."""
    layers = r.need("layers", *LAYERS)
    listed = r.per_layer(layers, "no_rope_layers") if "layer_types" not in r.table else None
    step = r.number(1, bounds("layers")[1], "no_rope_layer_interval")
    if listed:
        r.put("mixers", period("".join("L" if rope else "G" for rope in listed[1])), "no_rope_layers")
    elif step and "layer_types" not in r.table:
        pattern = (("L" * (step.value - 1) + "G") * layers)[:layers]
        r.assume("mixers", period(pattern), f"{step.key}: every {step.value}th layer is global, without RoPE")
    r.need("expert_ffn", "intermediate_size")
    r.assume("shared_ffn", r.values["expert_ffn"], "Llama 4: one shared expert, as wide as a routed one")
    r.flag("use_qk_norm")
    r.assume("qk_norm", "none", "Llama 4: its QK norm has no weights")
    r.note("A chunk of attention is counted as a sliding window of the same length")


def jamba(r: Reader) -> None:
    """Jamba: one attention layer per period at an offset, Mamba-1 in between."""
    layers = r.need("layers", *LAYERS)
    most = bounds("layers")[1]
    every, offset = r.number(1, most, "attn_layer_period"), r.number(0, most, "attn_layer_offset")
    if every and offset and "layers_block_type" not in r.table:
        if offset.value >= every.value:
            raise ValueError(f"attn_layer_offset={offset.value} must be below attn_layer_period={every.value}")
        codes = "".join("G" if i % every.value == offset.value else "M" for i in range(layers))
        r.put("mixers", period(codes), f"{every.key}, {offset.key}")


def nemotron_h(r: Reader) -> None:
    """Nemotron-H: each layer is one thing: Mamba-2, attention, MLP or experts."""
    layers = r.need("layers", *LAYERS)
    pattern = r.text("hybrid_override_pattern")
    listed = r.per_layer(layers, "layers_block_type") if pattern is None else None
    words = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
    key = "hybrid_override_pattern" if pattern is not None else "layers_block_type"
    kinds = list(pattern or "") or [words.get(str(word), "?") for word in (listed[1] if listed else ())]
    unknown = sorted(set(kinds) - set("M*-E"))
    if unknown or len(kinds) != layers:
        raise ValueError(
            f"{key} must have {layers} layers out of M (Mamba-2), * (attention), - (MLP), E (experts); "
            + (f"it has {shown(unknown[0])}" if unknown else f"it has {len(kinds)}")
        )
    r.put("mixers", period("".join({"M": "S", "*": "G"}.get(kind, "-") for kind in kinds)), key)
    r.put("ffns", period("".join({"-": "d", "E": "e"}.get(kind, "-") for kind in kinds)), key)
    if "E" in kinds:
        r.assume("router_bias", True, "Nemotron: a correction bias per expert")


def lightning(r: Reader) -> None:
    """MiniMax-01: linear attention with a matrix per head, counted as gated DeltaNet of the same state."""
    heads = r.need("heads", *HEADS)
    size = r.need("head_dim", "head_dim")
    for name, value in (("ssm_heads", heads), ("ssm_head_dim", size), ("ssm_state", size), ("ssm_groups", heads)):
        r.assume(name, value, "lightning attention has a state of head_dim x head_dim per head")
    r.note("Lightning attention is counted as gated DeltaNet: the total is off by less than 0.1 %")


def granite4(r: Reader) -> None:
    """Granite 4: the shared block is the whole feed-forward where there are no experts."""
    count = r.number(0, bounds("experts")[1], *EXPERTS)
    if not count or not count.value:
        r.need("ffn", "shared_intermediate_size")


def cohere(r: Reader) -> None:
    """Command R: max_position_embeddings is what it was trained with first, model_max_length what it allows."""
    r.whole("max_context", "model_max_length")


def by_fields(r: Reader) -> None:
    """Unknown families: the kind of norm from the name of its epsilon."""
    if any(key in r.table for key in ("layer_norm_eps", "layer_norm_epsilon")) and "rms_norm_eps" not in r.table:
        r.assume("norm_bias", True, "layer_norm_eps names a LayerNorm, which has a bias as a rule")
